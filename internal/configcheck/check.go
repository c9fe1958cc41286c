// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package configcheck finds the mistakes in the sections of known components before the collector decodes them, and says for
// each of them file, line, key and what is allowed. It decodes and validates as the collector does and only reports what the
// collector refuses too, in better words.
package configcheck

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
)

// Section is a part of the configuration, such as receivers, and the components in it that are checked.
// Those of other types are left to the collector.
type Section struct {
	Name      string
	Factories []component.Factory
}

// Check returns one error that holds every mistake on a line of its own, or nil. It does not change conf.
// args is the command line, without the program, that conf comes from; it is only looked at when there is a mistake.
func Check(conf *confmap.Conf, sections []Section, args []string) error {
	var problems []problem
	for _, section := range sections {
		problems = append(problems, section.check(conf)...)
	}
	if len(problems) == 0 {
		return nil
	}
	return errors.New(message(problems, newSources(args)))
}

// problem is one mistake: where it is, and what is wrong with it.
type problem struct {
	at   path
	text string
	// meant is the key that an unknown one was probably meant to be, when that is not written itself.
	meant path
}

// check finds the mistakes of all components of the section.
func (s Section) check(conf *confmap.Conf) []problem {
	all, err := conf.Sub(s.Name)
	if err != nil {
		return nil // no section at all: the collector says so
	}
	factories := make(map[component.Type]component.Factory, len(s.Factories))
	for _, f := range s.Factories {
		factories[f.Type()] = f
	}
	var problems []problem
	for key := range all.ToStringMap() {
		var id component.ID
		if id.UnmarshalText([]byte(key)) != nil {
			continue
		}
		if factory, ok := factories[id.Type()]; ok {
			problems = append(problems, checkComponent(all, path{s.Name, key}, factory)...)
		}
	}
	return problems
}

// checkComponent never panics: whatever happens in here, a start that the collector accepts goes on.
func checkComponent(all *confmap.Conf, at path, factory component.Factory) (problems []problem) {
	defer func() {
		if recover() != nil {
			problems = nil
		}
	}()
	cfg := factory.CreateDefaultConfig()
	root := cursor{typ: configType(cfg), at: at, raw: all.ToStringMap()[at[1].(string)]}
	root.hide = newRedactor(root)

	sub, err := all.Sub(at[1].(string))
	if err != nil {
		return []problem{{at: at, text: root.wrongValue(kindMismatch)}}
	}
	decodeErr := sub.Unmarshal(&cfg)
	if decodeErr == nil {
		return root.validationProblems(confmap.Validate(cfg))
	}
	problems = root.decodeProblems(decodeErr)
	return append(problems, root.validateRest(all, factory, problems)...)
}

// validateRest finds what else is wrong in a component that cannot be decoded: it leaves out the keys that are
// known to be wrong, and then says nothing about anything that has to do with them.
func (c cursor) validateRest(all *confmap.Conf, factory component.Factory, known []problem) []problem {
	sub, err := all.Sub(c.at[1].(string))
	if err != nil {
		return nil
	}
	for _, p := range known {
		if below := p.at[len(c.at):]; len(below) > 0 && !below.hasIndex() {
			sub.Delete(below.String())
		}
	}
	cfg := factory.CreateDefaultConfig()
	if sub.Unmarshal(&cfg, confmap.WithIgnoreUnused()) != nil {
		return nil
	}
	var rest []problem
	for _, p := range c.validationProblems(confmap.Validate(cfg)) {
		related := func(k problem) bool {
			name, _ := k.at[len(k.at)-1].(string)
			return k.meant != nil && p.at.has(k.meant) || p.at.has(k.at) || k.at.has(p.at) || name != "" && strings.Contains(p.text, name)
		}
		if !slices.ContainsFunc(known, related) {
			rest = append(rest, p)
		}
	}
	return rest
}

// message writes the problems in the order of their places, each once.
func message(problems []problem, from sources) string {
	type line struct {
		source, number int
		text           string
	}
	lines := make([]line, 0, len(problems))
	for _, p := range problems {
		l := line{source: -1, text: p.at.String() + ": " + strings.ReplaceAll(p.text, "\n", "; ")}
		if source, number, ok := from.find(p.at); ok {
			l.source, l.number = source, number
			l.text = from.place(source, number) + ": " + l.text
		}
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.number, b.number), cmp.Compare(a.text, b.text))
	})
	lines = slices.Compact(lines)
	var b strings.Builder
	if len(lines) == 1 {
		b.WriteString("1 mistake in the configuration:")
	} else {
		fmt.Fprintf(&b, "%d mistakes in the configuration:", len(lines))
	}
	for _, l := range lines {
		b.WriteString("\n" + l.text)
	}
	return b.String()
}
