// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"
)

// source is one of the configurations that are merged, in the order of the merge.
type source struct {
	name string
	// doc is nil when the source cannot be read again from here.
	doc *yaml.Node
	// file says whether a line means something to the user.
	file bool
}

type sources []source

// newSources reads the configurations that a command line names: --config in their order, then --set, as the collector does.
func newSources(args []string) sources {
	configs, sets := flagValues(args)
	var all sources
	inline := 0
	for _, uri := range configs {
		if strings.HasPrefix(uri, "yaml:") {
			inline++
		}
	}
	for i, uri := range configs {
		s := newSource(uri)
		if s.name == inlineName && inline > 1 {
			s.name += fmt.Sprintf(" (--config no. %d)", i+1)
		}
		all = append(all, s)
	}
	for _, set := range sets {
		key, value, _ := strings.Cut(set, "=")
		key = strings.TrimSpace(key)
		text := strings.ReplaceAll(key, ".", confmap.KeyDelimiter) + ": " + strings.TrimSpace(value)
		all = append(all, source{name: "--set " + key, doc: parse([]byte(text))})
	}
	return all
}

// flagValues collects the values of --config and --set.
func flagValues(args []string) (configs, sets []string) {
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			break
		}
		name, value, given := strings.Cut(args[i], "=")
		if name != "--config" && name != "--set" {
			continue
		}
		if !given {
			if i++; i == len(args) {
				break
			}
			value = args[i]
		}
		if name == "--config" {
			configs = append(configs, value)
		} else {
			sets = append(sets, value)
		}
	}
	return configs, sets
}

// inlineName stands for a configuration on the command line itself, which may hold a password.
const inlineName = "yaml:…"

// drive is how a Windows path begins: no scheme has one letter only.
var drive = regexp.MustCompile(`^[A-Za-z]:`)

func newSource(uri string) source {
	scheme, rest, ok := strings.Cut(uri, ":")
	switch {
	case !ok || drive.MatchString(uri):
		return fileSource(uri)
	case scheme == "file":
		return fileSource(rest)
	case scheme == "yaml":
		return source{name: inlineName, doc: parse([]byte(rest))}
	case scheme == "env":
		name, _, _ := strings.Cut(rest, ":-")
		return source{name: "env:" + name, doc: parse([]byte(os.Getenv(name)))}
	}
	return source{name: scheme + ":…"}
}

func fileSource(name string) source {
	s := source{name: name, file: true}
	if text, err := os.ReadFile(name); err == nil {
		s.doc = parse(text)
	}
	return s
}

func parse(text []byte) *yaml.Node {
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// place writes a source and a line in it.
func (s sources) place(i, line int) string {
	if s[i].file {
		return fmt.Sprintf("%s:%d", s[i].name, line)
	}
	return s[i].name
}

// find returns the source and the line of p. When several sources set it, that is the last one, which wins;
// when none does (a key that is missing), it is the nearest section above it, at most the component's.
func (s sources) find(p path) (index, line int, ok bool) {
	const component = 2 // receivers::otlp
	list := p.index()
	owner := -1
	if list >= 0 {
		// A list is replaced as a whole: only the last source that sets it says what is in it.
		owner, _, _ = s.last(p[:list])
	}
	for n := len(p); n >= min(component, len(p)); n-- {
		if list >= 0 && n > list && owner >= 0 {
			if node := lookUp(s[owner].doc, p[:n]); node != nil {
				return owner, node.Line, true
			}
			continue
		}
		if i, l, ok := s.last(p[:n]); ok {
			return i, l, true
		}
	}
	return 0, 0, false
}

// last returns the last source that has exactly p.
func (s sources) last(p path) (index, line int, ok bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if node := lookUp(s[i].doc, p); node != nil {
			return i, node.Line, true
		}
	}
	return -1, 0, false
}

// maxNodes ends the search in a document whose anchors hold themselves.
const maxNodes = 10_000

// lookUp returns the node of the key (or the item of a list) that p leads to.
func lookUp(doc *yaml.Node, p path) *yaml.Node {
	l := lookup{left: maxNodes}
	return l.find(doc, nil, p)
}

type lookup struct{ left int }

// find searches below a value; at is the key of it.
func (l *lookup) find(value, at *yaml.Node, p path) *yaml.Node {
	if l.left--; l.left < 0 {
		return nil
	}
	for value != nil && value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	if len(p) == 0 || value == nil {
		if len(p) > 0 {
			return nil
		}
		return at
	}
	if i, ok := p[0].(int); ok {
		if value.Kind != yaml.SequenceNode || i >= len(value.Content) {
			return nil
		}
		return l.find(value.Content[i], value.Content[i], p[1:])
	}
	if value.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		key := value.Content[i]
		// receivers::otlp: {} is the same as receivers: {otlp: {}}
		steps := path{}
		for _, step := range strings.Split(key.Value, confmap.KeyDelimiter) {
			steps = steps.to(step)
		}
		if steps.has(p) {
			return key
		}
		if p.has(steps) {
			if found := l.find(value.Content[i+1], key, p[len(steps):]); found != nil {
				return found
			}
		}
	}
	for i := 0; i+1 < len(value.Content); i += 2 { // what stands here wins over what is merged in
		if value.Content[i].Tag != "!!merge" {
			continue
		}
		merged := value.Content[i+1]
		if merged.Kind != yaml.SequenceNode {
			merged = &yaml.Node{Content: []*yaml.Node{merged}}
		}
		for _, m := range merged.Content {
			if found := l.find(m, at, p); found != nil {
				return found
			}
		}
	}
	return nil
}
