// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// maxLogLine bounds a line of ClickHouse's log; the rest of a longer one is dropped.
	maxLogLine = 64 << 10
	// lastWords is how many log messages are kept to explain a death.
	lastWords = 5
)

// logLine is what ClickHouse writes per message (formatting type json), one line each.
type logLine struct {
	Level   string `json:"level"`
	Logger  string `json:"logger_name"`
	QueryID string `json:"query_id"`
	Message string `json:"message"`
}

// stackFrame is a line of what ClickHouse prints when it crashes.
var stackFrame = regexp.MustCompile(`^(\d+\. .*@ 0x[0-9a-f]+|Stack trace: 0x.*|#+)$`)

// harmless begin messages that ClickHouse logs as warnings several times a minute while all is well: a background task, a merge, found no
// free thread in the small pools that we give it, and is scheduled again.
var harmless = []string{"Temporarily pause scheduling of tasks", "MergeMutateSelectedEntry was not finalized"}

// parseLogLine understands ClickHouse's JSON lines, and takes everything else as plain text: what comes
// before its logger is set up, and from the loader of the library.
func parseLogLine(line []byte) (logLine, zapcore.Level) {
	var l logLine
	if err := json.Unmarshal(line, &l); err != nil || l.Level == "" {
		return logLine{Message: strings.ToValidUTF8(string(line), "\uFFFD")}, zapcore.WarnLevel
	}
	// A stack trace of frames without symbols helps nobody here.
	if text, _, found := strings.Cut(l.Message, ", Stack trace (when copying"); found {
		l.Message = text
	}
	l.Message = strings.TrimSpace(l.Message)
	switch l.Level {
	case "Fatal", "Critical", "Error":
		if l.Message == "" || stackFrame.MatchString(l.Message) {
			return l, zapcore.DebugLevel
		}
		switch l.Logger {
		case "executeQuery", "TCPHandler", "DynamicQueryHandler":
			if l.Level == "Error" {
				return l, zapcore.InfoLevel // the sender of the query has the answer, and knows whether it matters
			}
		}
		// A fatal message of ClickHouse ends ClickHouse, not us.
		return l, zapcore.ErrorLevel
	case "Warning":
		if slices.ContainsFunc(harmless, func(begin string) bool { return strings.HasPrefix(l.Message, begin) }) {
			return l, zapcore.DebugLevel
		}
		return l, zapcore.WarnLevel
	case "Notice", "Information":
		return l, zapcore.InfoLevel
	default:
		return l, zapcore.DebugLevel
	}
}

// logWriter cuts a stream into lines and hands them to the logger. One goroutine writes; any may ask for
// the last words.
type logWriter struct {
	logger *zap.Logger
	// fatal is called when ClickHouse says that it is crashing.
	fatal func()
	line  []byte

	mu   sync.Mutex
	last []string // guarded by mu
}

// Write never fails: a logger is no reason for ClickHouse to stop.
func (w *logWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		head, rest, found := bytes.Cut(p, []byte{'\n'})
		w.line = append(w.line, head[:min(len(head), maxLogLine-len(w.line))]...)
		if !found {
			return n, nil
		}
		w.flush()
		p = rest
	}
}

// flush logs the current line, also an unfinished one.
func (w *logWriter) flush() {
	line := bytes.TrimSpace(w.line)
	w.line = w.line[:0]
	if len(line) == 0 {
		return
	}
	l, level := parseLogLine(line)
	if l.Level == "Fatal" && w.fatal != nil {
		w.fatal()
	}
	if level >= zapcore.WarnLevel && l.Level != "Fatal" { // a crash has many lines and no reason in them
		w.remember(l.Message)
	}
	fields := make([]zap.Field, 0, 2)
	if l.Logger != "" {
		fields = append(fields, zap.String("clickhouse.logger", l.Logger))
	}
	if l.QueryID != "" {
		fields = append(fields, zap.String("clickhouse.query_id", l.QueryID))
	}
	if entry := w.logger.Check(level, "ClickHouse: "+l.Message); entry != nil {
		entry.Write(fields...)
	}
}

func (w *logWriter) remember(message string) {
	const most = 500
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "") + "…"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = append(w.last, message)
	if len(w.last) > lastWords {
		w.last = w.last[len(w.last)-lastWords:]
	}
}

func (w *logWriter) lastWords() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.last, " | ")
}
