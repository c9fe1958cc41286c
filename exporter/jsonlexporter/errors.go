// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"errors"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tailrace/tailrace/internal/segment"
)

// fullRetry is what a sender is told to wait while the folder is full. Readers make room in seconds, not in milliseconds.
const fullRetry = time.Second

// classify gives an error the class that receivers pass on to senders. The OTLP receiver makes of it:
//
//	max_disk_bytes reached         RESOURCE_EXHAUSTED with RetryInfo, 429   repeat later
//	larger than max_disk_bytes     INVALID_ARGUMENT, 400                    never fits, do not repeat
//	everything else                UNAVAILABLE, 503                         repeat
func classify(err error) error {
	switch {
	case errors.Is(err, segment.ErrTooLarge):
		return consumererror.NewPermanent(&statusError{err: err, status: status.New(codes.InvalidArgument, err.Error())})
	case errors.Is(err, segment.ErrFull):
		s := status.New(codes.ResourceExhausted, err.Error())
		if detailed, derr := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(fullRetry)}); derr == nil {
			s = detailed // without it a sender may take the code for final
		}
		return &statusError{err: err, status: s}
	default:
		return err
	}
}

// statusError is an error with the status that the OTLP receiver answers.
type statusError struct {
	err    error
	status *status.Status
}

func (e *statusError) Error() string { return e.err.Error() }

func (e *statusError) Unwrap() error { return e.err }

// GRPCStatus is what package status looks for.
func (e *statusError) GRPCStatus() *status.Status { return e.status }
