// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/tailrace/tailrace/livetailclient"
)

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// tailPrinter writes events. It is used by one goroutine.
type tailPrinter struct {
	out, notes io.Writer
	flags      *tailFlags
	color      bool
	clean      bool // control characters are shown and not sent to the terminal
	trees      *spanTrees
	buf        bytes.Buffer
	lost       bool // the connection; said once
}

func newTailPrinter(out, notes io.Writer, f *tailFlags, terminal bool) (*tailPrinter, error) {
	if !slices.Contains([]string{"pretty", "raw", "json"}, f.output) {
		return nil, fmt.Errorf("--output: unknown %q; known are pretty, raw and json", f.output)
	}
	p := &tailPrinter{out: out, notes: notes, flags: f, clean: terminal}
	switch f.color {
	case "auto":
		p.color = terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	case "always":
		p.color = true
	case "never":
	default:
		return nil, fmt.Errorf("--color: unknown %q; known are auto, always and never", f.color)
	}
	if f.output == "pretty" && !f.noTree {
		p.trees = newSpanTrees()
	}
	return p, nil
}

func (p *tailPrinter) event(e *livetailclient.Event) error {
	switch {
	case e.Disconnected != nil:
		if !p.lost {
			p.note("connection lost: %v; trying again", e.Disconnected)
		}
		p.lost = true
	case e.Connected:
		if p.lost {
			p.note("connected again")
		}
		p.lost = false
	case e.Notice != "":
		p.note("%s", e.Notice)
	case e.Gap != nil:
		p.gap(e.Gap)
	case e.Filled != nil:
		p.filled(e.Filled)
	}
	for i := range e.Records {
		p.record(&e.Records[i])
	}
	return p.flush()
}

// note says something that is no record.
func (p *tailPrinter) note(format string, args ...any) {
	text := "tailctl: " + fmt.Sprintf(format, args...)
	if p.color {
		text = "\x1b[33m" + text + "\x1b[0m"
	}
	fmt.Fprintln(p.notes, text)
}

func (p *tailPrinter) gap(g *livetailclient.Gap) {
	if p.flags.output == "json" {
		raw, err := json.Marshal(map[string]any{"gap": g})
		if err == nil {
			p.buf.Write(raw)
			p.buf.WriteByte('\n')
		}
	}
	why := map[string]string{
		"slow": "they came faster than they were taken", "sampled": "more than --max-rate", "evicted": "the server no longer holds them",
		"lost": "they were lost on the way from another collector",
	}[g.Reason]
	switch {
	case g.Dropped == nil && len(g.Query) > 0:
		p.note("some records are missing: %s; they can be asked for: GET %s", why, strings.Join(g.Query, ", GET "))
	case g.Dropped == nil:
		p.note("some records are missing: %s", why)
	case *g.Dropped > 0:
		p.note("%d records are missing (%s): %s", *g.Dropped, severities(g.BySeverity), why)
	}
}

// filled tells of what came from the store, and whether that is all of it.
func (p *tailPrinter) filled(f *livetailclient.Filled) {
	switch {
	case !f.Complete:
		p.note("%d records came from the store, and some may be missing: %s", f.Records, f.Message)
	case f.Records > 0:
		p.note("%d records came from the store; nothing of %s is missing", f.Records, strings.Join(f.Signals, ", "))
	}
}

func severities(by map[string]uint64) string {
	var out []string
	for _, level := range []string{"fatal", "error", "warn", "info", "debug", "trace", "unset"} {
		if n := by[level]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, level))
		}
	}
	return strings.Join(out, ", ")
}

func (p *tailPrinter) record(r *livetailclient.Record) {
	switch p.flags.output {
	case "json":
		p.buf.Write(r.Raw)
		p.buf.WriteByte('\n')
		return
	case "raw":
		p.line(recordText(r))
		return
	}
	if r.Signal == "span" && p.trees != nil {
		p.trees.add(r, time.Now())
		return
	}
	p.pretty(r, "")
}

// recordText is what a record says, in a line or more.
func recordText(r *livetailclient.Record) string {
	switch r.Signal {
	case "span":
		text := r.Name
		switch r.State {
		case "ended":
			text += " " + duration(r.DurationMS)
		case "orphaned":
			text += " … nothing more was heard of it"
		default:
			text += " …"
		}
		if r.Status == "error" {
			text += " ERROR " + r.Message
		}
		return strings.TrimRight(text, " ")
	case "metric":
		return strings.TrimSpace(r.Name + " " + string(r.Value) + " " + r.Unit)
	case "score":
		return strings.TrimSpace(r.Name + " " + string(r.Value) + " " + r.Label)
	default:
		text := r.Text()
		if text == "null" || text == "" {
			text = r.EventName
		}
		return text
	}
}

func duration(ms float64) string {
	d := time.Duration(ms * 1e6)
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1fms", ms)
	default:
		return fmt.Sprintf("%dµs", d.Microseconds())
	}
}

const (
	colorDim   = "\x1b[2m"
	colorReset = "\x1b[0m"
	colorError = "\x1b[31m"
	colorWarn  = "\x1b[33m"
)

// sourceColors tell sources apart.
var sourceColors = [...]string{"\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[92m", "\x1b[95m", "\x1b[94m"}

func (p *tailPrinter) paint(color, text string) string {
	if !p.color || color == "" || text == "" {
		return text
	}
	return color + text + colorReset
}

// pretty prints time, level, source and text. prefix is the place in a tree.
func (p *tailPrinter) pretty(r *livetailclient.Record, prefix string) {
	layout := "15:04:05.000"
	if p.flags.timestamps {
		layout = "2006-01-02T15:04:05.000Z07:00"
	}
	level, color := r.Severity, ""
	switch {
	case r.Signal == "span":
		level = "span"
	case r.Signal != "log":
		level = r.Signal
	case level == "unset":
		level = "-"
	}
	switch {
	case r.Severity == "error" || r.Severity == "fatal" || r.Status == "error":
		color = colorError
	case r.Severity == "warn":
		color = colorWarn
	case r.Severity == "debug" || r.Severity == "trace":
		color = colorDim
	}
	source := p.sanitize(sourceName(r))
	h := fnv.New32a()
	_, _ = h.Write([]byte(source))
	head := p.paint(colorDim, r.Time.Local().Format(layout)) + " " + p.paint(color, fmt.Sprintf("%-5s", p.sanitize(level))) + " " +
		p.paint(sourceColors[h.Sum32()%uint32(len(sourceColors))], source) + " "
	p.buf.WriteString(head)
	p.buf.WriteString(prefix)
	p.buf.WriteString(p.paint(color, p.sanitize(recordText(r))))
	p.buf.WriteByte('\n')
}

// sourceName is the narrowest name of where a record comes from.
func sourceName(r *livetailclient.Record) string {
	name := orElse(r.Server, orElse(r.Build, orElse(r.Service, r.Deployment)))
	switch {
	case name == "":
		return r.Project
	case r.Project == "":
		return name
	default:
		return r.Project + "/" + name
	}
}

func (p *tailPrinter) line(text string) {
	p.buf.WriteString(p.sanitize(text))
	p.buf.WriteByte('\n')
}

// sanitize makes control characters visible: whoever prints a log must not be able to control the terminal of who reads it.
// Lines that belong to one record are indented.
func (p *tailPrinter) sanitize(s string) string {
	if !p.clean && p.flags.output != "pretty" {
		return s
	}
	ok := true
	for _, r := range s {
		if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
			ok = false
			break
		}
	}
	if ok {
		return s
	}
	var b strings.Builder
	for _, r := range strings.TrimRight(s, "\r\n") {
		switch {
		case r == '\n':
			b.WriteString("\n    ")
		case r == '\t':
			b.WriteRune(r)
		case r < ' ':
			b.WriteRune('\u2400' + r) // the picture of it
		case r == 0x7f:
			b.WriteRune('\u2421')
		case r >= 0x80 && r < 0xa0:
			b.WriteRune('\ufffd')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// due prints the trees that are complete, or have waited long enough.
func (p *tailPrinter) due(now time.Time) error {
	if p.trees != nil {
		for _, t := range p.trees.due(now) {
			p.tree(t)
		}
	}
	return p.flush()
}

// finish prints what is left.
func (p *tailPrinter) finish() error {
	if p.trees != nil {
		for _, t := range p.trees.all() {
			p.tree(t)
		}
	}
	err := p.flush()
	if isBrokenPipe(err) {
		return nil
	}
	return err
}

func (p *tailPrinter) flush() error {
	if p.buf.Len() == 0 {
		return nil
	}
	_, err := p.out.Write(p.buf.Bytes())
	p.buf.Reset()
	return err
}
