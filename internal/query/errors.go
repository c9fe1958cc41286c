// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ErrNotFound says that there is no such thing, or that the caller may not see it, which is not told apart.
var ErrNotFound = errors.New("not found")

// ErrForbidden says that the caller named a project that it may not read.
var ErrForbidden = errors.New("not allowed")

// ParamError says which parameter is wrong, and what would be right.
type ParamError struct {
	Param, Reason string
}

func (e *ParamError) Error() string { return fmt.Sprintf("parameter %q: %s", e.Param, e.Reason) }

func wrong(param, format string, args ...any) error {
	return &ParamError{Param: param, Reason: fmt.Sprintf(format, args...)}
}

// LimitError says that a query was stopped at a limit, and how to stay below it.
type LimitError struct {
	// Limit is "rows", "bytes", "memory", "time", "answer" or "concurrency".
	Limit string
	// Value is the limit, for a reader: "500000000 rows", "15s".
	Value string
}

func (e *LimitError) Error() string {
	switch e.Limit {
	case "concurrency":
		return fmt.Sprintf("too many queries at the same time (limit: %s); try again in a moment", e.Value)
	case "answer":
		return fmt.Sprintf("the answer is larger than %s; ask for less (detail=light, or one span at a time)", e.Value)
	default:
		return fmt.Sprintf("the query was stopped at its limit of %s (%s); narrow it: a shorter time range, a project, a service", e.Value, e.Limit)
	}
}

// UnavailableError says that ClickHouse does not answer, or that its schema is not ready.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string {
	return "ClickHouse is away; live data goes on, stored data can be asked for again when it is back: " + e.Err.Error()
}
func (e *UnavailableError) Unwrap() error { return e.Err }

// Codes of ClickHouse's exceptions.
const (
	codeUnknownTable       = 60
	codeUnknownDatabase    = 81
	codeTooManyRows        = 158
	codeTimeout            = 159
	codeTooSlow            = 160
	codeTooManyQueries     = 202
	codeMemory             = 241
	codeTooManyBytes       = 307
	codeCancelled          = 394
	codeTooManyRowsOrBytes = 396
	codeBadRegexp          = 427
	codeAuthentication     = 516
)

// classify turns an error of the driver into one of this package where it has one. ctx is the one that the caller gave.
func (l Limits) classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		switch ex.Code {
		case codeTooManyRows:
			return &LimitError{"rows", fmt.Sprintf("%d rows", l.Rows)}
		case codeTooManyBytes:
			return &LimitError{"bytes", fmt.Sprintf("%d bytes", l.Bytes)}
		case codeTooManyRowsOrBytes:
			// max_rows_to_read and its like say it with their own codes; this one is of the result.
			return &LimitError{"answer", fmt.Sprintf("%d bytes", l.Answer)}
		case codeMemory:
			return &LimitError{"memory", fmt.Sprintf("%d bytes", l.Memory)}
		case codeTimeout, codeTooSlow:
			return &LimitError{"time", l.Time.String()}
		case codeTooManyQueries:
			return &LimitError{"concurrency", "that of ClickHouse"}
		case codeBadRegexp:
			return wrong("regex", "ClickHouse does not take it as a regular expression (RE2)")
		case codeUnknownTable, codeUnknownDatabase, codeAuthentication, codeCancelled:
			return &UnavailableError{err}
		}
		return fmt.Errorf("ClickHouse refused the query: %w", err)
	}
	if unreachable(err) {
		return &UnavailableError{err}
	}
	return err
}

func unreachable(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, clickhouse.ErrAcquireConnTimeout) || errors.Is(err, clickhouse.ErrConnectionClosed) ||
		errors.Is(err, clickhouse.ErrServerUnexpectedData) || strings.Contains(err.Error(), "closed connection") || strings.Contains(err.Error(), "c.reader is nil")
}

var (
	errOnce   = errors.New("give it once")
	errEmpty  = errors.New("must not be empty")
	errLimit  = fmt.Errorf("must be a number from 1 to %d", MaxLimit)
	errStep   = errors.New("must be from 1s to 366d")
	errGroups = errors.New("at most four dimensions")
)
