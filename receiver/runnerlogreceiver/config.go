// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/tailrace/tailrace/internal/logline"
	"github.com/tailrace/tailrace/receiver/runnerlogreceiver/internal/metadata"
)

// Values of the keys parse, ansi and carriage_return.
const (
	parseAuto   = "auto"
	parseJSON   = "json"
	parseLogfmt = "logfmt"
	parseNone   = "none"

	ansiKeep  = "keep"
	ansiStrip = "strip"

	returnKeep = "keep"
	returnLast = "last"
)

var (
	parseValues = []string{parseAuto, parseJSON, parseLogfmt, parseNone}
	ansiValues  = []string{ansiKeep, ansiStrip}

	returnValues = []string{returnKeep, returnLast}
)

// Config is the YAML of the receiver.
type Config struct {
	// Runner is the ID of the runner extension whose output is read.
	Runner component.ID `mapstructure:"runner"`
	// Parse says what is looked for in a line: auto, json, logfmt or none.
	Parse string `mapstructure:"parse"`
	// Multiline joins the lines of a stack trace into one record.
	Multiline bool `mapstructure:"multiline"`
	// ANSI says what becomes of the escape sequences of terminals: keep or strip.
	ANSI string `mapstructure:"ansi"`
	// CarriageReturn says what becomes of a line that is drawn over and over (a progress bar): keep all of it, or the
	// last state.
	CarriageReturn string `mapstructure:"carriage_return"`
	// KeepOriginal keeps a line whose body is not all of it in the attribute log.record.original.
	KeepOriginal bool `mapstructure:"keep_original"`
	// Servers replaces the keys above for single servers, by their id.
	Servers map[string]ServerConfig `mapstructure:"servers"`
	// ControllerConfig says how often the process trees are measured, in a metrics pipeline.
	scraperhelper.ControllerConfig `mapstructure:",squash"`
	// MetricsBuilderConfig switches single metrics off.
	metadata.MetricsBuilderConfig `mapstructure:",squash"`
	// Listen takes the output of processes that others run; without it, none is taken.
	Listen *ListenConfig `mapstructure:"listen"`

	runnerNamed bool // by the YAML
	// prevent unkeyed literal initialization
	_ struct{}
}

// ServerConfig holds the keys of Config that differ for one server; what is not given is as for all.
type ServerConfig struct {
	Parse          *string `mapstructure:"parse"`
	Multiline      *bool   `mapstructure:"multiline"`
	ANSI           *string `mapstructure:"ansi"`
	CarriageReturn *string `mapstructure:"carriage_return"`
	KeepOriginal   *bool   `mapstructure:"keep_original"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if c.Runner == (component.ID{}) {
		errs = append(errs, errors.New("runner: must be the ID of a runner extension, such as runner or runner/web"))
	}
	errs = append(errs, c.ControllerConfig.Validate()) // ours hides the embedded one
	errs = append(errs, oneOf("parse", &c.Parse, parseValues), oneOf("ansi", &c.ANSI, ansiValues),
		oneOf("carriage_return", &c.CarriageReturn, returnValues))
	for _, id := range slices.Sorted(maps.Keys(c.Servers)) {
		server := c.Servers[id]
		if id == "" {
			errs = append(errs, errors.New("servers: a key must be the id of a server, and is empty"))
		}
		errs = append(errs,
			oneOf("servers::"+id+"::parse", server.Parse, parseValues),
			oneOf("servers::"+id+"::ansi", server.ANSI, ansiValues),
			oneOf("servers::"+id+"::carriage_return", server.CarriageReturn, returnValues))
	}
	return errors.Join(errs...)
}

// unknown returns the keys of Servers that are none of ids.
func (c *Config) unknown(ids []string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Servers)), func(id string) bool { return slices.Contains(ids, id) })
}

func oneOf(key string, value *string, allowed []string) error {
	if value == nil || slices.Contains(allowed, *value) {
		return nil
	}
	last := len(allowed) - 1
	return fmt.Errorf("%s: must be %s or %s, is %q", key, strings.Join(allowed[:last], ", "), allowed[last], *value)
}

// settings say how the lines of one server are read.
type settings struct {
	mode         logline.Mode
	multiline    bool
	stripANSI    bool
	lastDrawn    bool
	keepOriginal bool
}

// of returns the settings for a server.
func (c *Config) of(server string) settings {
	parse, ansi, multiline, keep, returns := c.Parse, c.ANSI, c.Multiline, c.KeepOriginal, c.CarriageReturn
	if own, ok := c.Servers[server]; ok {
		override(&parse, own.Parse)
		override(&ansi, own.ANSI)
		override(&multiline, own.Multiline)
		override(&keep, own.KeepOriginal)
		override(&returns, own.CarriageReturn)
	}
	modes := map[string]logline.Mode{
		parseAuto: logline.ModeAuto, parseJSON: logline.ModeJSON, parseLogfmt: logline.ModeLogfmt, parseNone: logline.ModeNone,
	}
	return settings{
		mode: modes[parse], multiline: multiline, stripANSI: ansi == ansiStrip, lastDrawn: returns == returnLast, keepOriginal: keep,
	}
}

// text returns what of a line is shown and read, and the line where something else than escape sequences was cut off.
func (s settings) text(line string) (text, printed string) {
	text = line
	if s.stripANSI {
		text = logline.StripANSI(text)
	}
	if s.lastDrawn {
		if last := logline.LastDrawn(text); len(last) < len(text) {
			return last, line
		}
	}
	return text, ""
}

func override[T any](value, own *T) {
	if own != nil {
		*value = *own
	}
}
