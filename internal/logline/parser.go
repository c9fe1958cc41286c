// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"strings"
	"time"
)

// Mode says which formats are looked for.
type Mode uint8

// The modes. ModeAuto looks for all of them; in ModeJSON and ModeLogfmt other lines stay as they are.
const (
	ModeAuto Mode = iota
	ModeJSON
	ModeLogfmt
	ModeNone
)

// Parser reads lines. It is not safe for concurrent use; its zero value is ready.
type Parser struct {
	// Location is that of times without a zone; nil is the local one.
	Location *time.Location

	record   Record
	read     int64
	location *time.Location
}

// Parse says what line says. read is when it was read; times are measured by it. The result is valid until the next
// call, its strings for ever.
func (p *Parser) Parse(line string, mode Mode, read time.Time) *Record {
	r := &p.record
	r.reset()
	r.Body = line
	if mode == ModeNone || line == "" {
		return r
	}
	p.read = read.UnixNano()
	if p.location = p.Location; p.location == nil {
		p.location = time.Local
	}
	text := StripANSI(line)
	if mode != ModeLogfmt {
		if trimmed := strings.Trim(text, " \t"); len(trimmed) > 1 && trimmed[0] == '{' && trimmed[len(trimmed)-1] == '}' {
			if p.json(trimmed) && p.accept(mode == ModeJSON) {
				r.Format = FormatJSON
				return r
			}
			p.forget(line)
		}
	}
	if mode != ModeJSON {
		if p.logfmt(text, mode == ModeLogfmt) && p.accept(mode == ModeLogfmt) {
			r.Format = FormatLogfmt
			return r
		}
		p.forget(line)
	}
	if mode == ModeAuto {
		p.text(text)
	}
	return r
}

func (p *Parser) forget(line string) {
	p.record.reset()
	p.record.Body = line
}

// text looks for a prefix and for ids. The body stays the whole line: a prefix is part of what people expect to see.
func (p *Parser) text(line string) {
	r := &p.record
	r.Severity, r.SeverityText, r.Time = p.prefix(line)
	if r.Time != 0 && !p.near(r.Time) {
		r.Time = 0
	}
	if traced := r.traceInText(line); traced || r.Severity != 0 || r.Time != 0 {
		r.Format = FormatText
	}
}
