// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
)

// config has every kind of key that a component may have.
type config struct {
	Path     string         `mapstructure:"path"`
	Interval time.Duration  `mapstructure:"interval"`
	On       bool           `mapstructure:"on"`
	Count    int            `mapstructure:"count"`
	Size     size           `mapstructure:"size"`
	Ratio    float64        `mapstructure:"ratio"`
	Names    []string       `mapstructure:"names"`
	Ref      *component.ID  `mapstructure:"ref"`
	Nested   nested         `mapstructure:"nested"`
	Servers  []server       `mapstructure:"servers"`
	Labels   map[string]int `mapstructure:"labels"`
	Squashed `mapstructure:",squash"`
	Optional configoptional.Optional[nested] `mapstructure:"optional"`
	Password configopaque.String             `mapstructure:"password"`
	Headers  configopaque.MapList            `mapstructure:"headers"`

	panics bool
}

type size uint64

func (s *size) UnmarshalText(text []byte) error {
	if n, err := fmt.Sscanf(string(text), "%dMiB", s); n != 1 || err != nil {
		return fmt.Errorf("%q is no size: allowed are 1MiB and so on", text)
	}
	return nil
}

type nested struct {
	MaxAge time.Duration  `mapstructure:"max_age"`
	Rest   map[string]any `mapstructure:",remain"`
	Strict strict         `mapstructure:"strict"`
}

type strict struct {
	Deep  int                 `mapstructure:"deep_key"`
	Token configopaque.String `mapstructure:"token"`
}

func (s strict) Validate() error {
	if s.Deep < 0 {
		return errors.New("deep_key: must be 0 or more")
	}
	return nil
}

type server struct {
	ID      string                         `mapstructure:"id"`
	Command []string                       `mapstructure:"command"`
	Env     map[string]configopaque.String `mapstructure:"env"`
}

type Squashed struct {
	Project string `mapstructure:"project"`
}

func (c *config) Validate() error {
	if c.panics {
		panic("no")
	}
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New("path: must name a folder"))
	}
	if c.Password == "" {
		errs = append(errs, errors.New("password: is required"))
	}
	if c.Project == "bad" {
		errs = append(errs, errors.New("the project is no good"))
	}
	if strings.Contains(string(c.Password), " ") {
		errs = append(errs, fmt.Errorf("password: %s holds a space", string(c.Password)))
	}
	for i, s := range c.Servers {
		if len(s.Command) == 0 {
			errs = append(errs, fmt.Errorf("servers[%d].command: must be a list", i))
		}
	}
	if c.Nested.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("nested.max_age: is negative\nand that twice"))
	}
	return errors.Join(errs...)
}

func sections(panics bool) []Section {
	return []Section{{Name: "extensions", Factories: []component.Factory{
		extension.NewFactory(component.MustNewType("thing"), func() component.Config {
			return &config{Path: "here", Password: "default", panics: panics}
		}, func(context.Context, extension.Settings, component.Config) (extension.Extension, error) {
			return nil, nil
		}, component.StabilityLevelDevelopment),
	}}}
}

func conf(t testing.TB, texts ...string) *confmap.Conf {
	t.Helper()
	all := confmap.New()
	for _, text := range texts {
		r, err := confmap.NewRetrievedFromYAML([]byte(text))
		require.NoError(t, err)
		c, err := r.AsConf()
		require.NoError(t, err)
		require.NoError(t, all.Merge(c))
	}
	return all
}

const allowed = "path, interval, on, count, size, ratio, names, ref, nested, servers, labels, project, optional, password, headers"

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string // below extensions
		want []string
	}{
		"nothing wrong":   {"thing: {path: x, interval: 1s, on: true, count: 1, size: 3MiB, ratio: 1.5, names: [a], ref: other, nested: {max_age: 1s, anything: goes}, labels: {a: 1}, project: p, optional: {enabled: true, max_age: 2s}, headers: {a: b}}", nil},
		"nothing at all":  {"thing:", nil},
		"of another type": {"thang: {pathh: x}", nil},
		"bad id":          {"'thing/': {pathh: x}", nil},

		"unknown key":                 {"thing:\n  pathh: x", []string{`2: extensions::thing::pathh: unknown key; allowed: ` + allowed + ` (did you mean "path"?)`}},
		"unknown keys":                {"thing:\n  pathh: x\n  'a, b': x", []string{`2: extensions::thing::pathh: unknown`, `3: extensions::thing::a, b: unknown`}},
		"unknown key of other places": {"thing: {max_age: 1s}", []string{`1: extensions::thing::max_age: unknown key; allowed: ` + allowed}},
		"unknown key of one place":    {"thing: {id: 1s}", []string{`1: extensions::thing::id: unknown key; allowed: ` + allowed}},
		"named component":             {"thing/a.b:\n  nope: x", []string{`2: extensions::thing/a.b::nope: unknown key`}},
		"section that is text":        {"thing: x", []string{`1: extensions::thing: a text is not a section of keys; allowed below it: ` + allowed}},

		"duration":              {"thing: {interval: soon}", []string{`1: extensions::thing::interval: "soon" is not a duration; write one such as 10s or 250ms`}},
		"duration without unit": {"thing: {interval: '10'}", []string{`"10" is not a duration`}},
		"duration as a list":    {"thing: {interval: [1s]}", []string{`a list is not a duration`}},
		"bool":                  {"thing: {on: maybe}", []string{`::on: "maybe" is not true or false`}},
		"number":                {"thing: {count: many}", []string{`::count: "many" is not a whole number; write one such as 100`}},
		"float":                 {"thing: {ratio: half}", []string{`::ratio: "half" is not a number`}},
		"text":                  {"thing: {path: 5}", []string{`::path: 5 is not text; write it in quotes`}},
		"text as a section":     {"thing: {path: {a: b}}", []string{`::path: a section of keys is not text`}},
		"long text":             {"thing: {on: " + strings.Repeat("x", 500) + "}", []string{`"` + strings.Repeat("x", 80) + `…" is not true or false`}},
		"list as a number":      {"thing: {names: 5}", []string{`::names: a number is not a list; write one such as [a, b]`}},
		"item of a list":        {"thing:\n  names:\n    - a\n    - [b]", []string{`4: extensions::thing::names[1]: a list is not text; write a single text`}},
		"map":                   {"thing: {labels: [a]}", []string{`::labels: a list is not a section of keys; write keys`}},
		"value of a map":        {"thing:\n  labels:\n    a.b: one\n    a: two", []string{`3: extensions::thing::labels::a.b: "one" is not a whole number`, `4: extensions::thing::labels::a: "two"`}},
		"struct":                {"thing: {servers: [{id: a}, b]}", []string{`::servers[1]: a text is not a section of keys; allowed below it: id, command, env`}},
		"reads itself":          {"thing: {size: big}", []string{`::size: "big" is no size: allowed are 1MiB and so on`}},
		"component id":          {"thing: {ref: 'a/'}", []string{`::ref: in "a/" id: the part after / should not be empty`}},
		"component id as list":  {"thing: {ref: [a]}", []string{`::ref: a list is not text`}},

		"in a list of structs":  {"thing:\n  servers:\n    - id: a\n      command: [x]\n    - id: b\n      comand: [y]", []string{`6: extensions::thing::servers[1]::comand: unknown key; allowed: id, command, env (did you mean "command"?)`}},
		"in an optional":        {"thing:\n  optional:\n    strict:\n      deep: 1", []string{`4: extensions::thing::optional::strict::deep: unknown key; allowed: deep_key, token`}},
		"in an optional, value": {"thing:\n  optional:\n    max_age: x", []string{`3: extensions::thing::optional::max_age: "x" is not a duration`}},
		"squashed":              {"thing:\n  project: 1", []string{`2: extensions::thing::project: 1 is not text`}},

		"validate":                 {"thing:\n  on: true\n  path: ''", []string{`3: extensions::thing::path: must name a folder`}},
		"validate, key is missing": {"other:\nthing:\n  password: ''\n  servers:\n    - id: x", []string{`3: extensions::thing::password: is required`, `5: extensions::thing::servers[0]::command: must be a list`}},
		"validate without key":     {"thing:\n  project: bad", []string{`1: extensions::thing: the project is no good`}},
		"validate deep":            {"thing:\n  nested:\n    strict:\n      deep_key: -1", []string{`4: extensions::thing::nested::strict::deep_key: must be 0 or more`}},
		"validate in an optional":  {"thing:\n  optional:\n    strict:\n      deep_key: -1", []string{`4: extensions::thing::optional::strict::deep_key: must be 0 or more`}},
		"validate two lines":       {"thing: {nested: {max_age: -1s}}", []string{`::nested::max_age: is negative; and that twice`}},
		"decode and validate":      {"thing:\n  interval: soon\n  path: ''\n  pathhh: x", []string{`2: extensions::thing::interval:`, `3: extensions::thing::path: must name a folder`, `4: extensions::thing::pathhh`}},
		"wrong key, other invalid": {"thing:\n  interval: soon\n  nested: {max_age: -1s}", []string{`2: extensions::thing::interval:`, `3: extensions::thing::nested::max_age: is negative`}},
		"wrong password, not also": {"thing:\n  password: [x]", []string{`2: extensions::thing::password: a list is not text; write a single text`}},
	} {
		t.Run(name, func(t *testing.T) {
			text := "extensions:\n  " + strings.ReplaceAll(c.yaml, "\n", "\n  ")
			file := filepath.Join(t.TempDir(), "c.yaml")
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			got := Check(conf(t, text), sections(false), []string{"--config", file})
			if c.want == nil {
				require.NoError(t, got)
				return
			}
			require.Error(t, got)
			lines := strings.Split(got.Error(), "\n")[1:]
			require.Len(t, lines, len(c.want), got.Error())
			for i, want := range c.want {
				if n, rest, ok := strings.Cut(want, ": "); ok && len(n) == 1 { // the section stands on line 1
					want = fmt.Sprintf("%s:%d: %s", file, n[0]-'0'+1, rest)
				}
				assert.Contains(t, lines[i], want)
			}
		})
	}
}

func TestCheckChangesNothing(t *testing.T) {
	for _, text := range []string{"extensions: {thing: {path: x, optional: {enabled: true}, headers: {a: b}}}", "extensions: {thing: {pathh: x, interval: soon, names: [a]}}"} {
		c := conf(t, text)
		_ = Check(c, sections(false), nil)
		assert.Equal(t, conf(t, text).ToStringMap(), c.ToStringMap())
	}
}

func TestCheckNeverPrintsASecret(t *testing.T) {
	const secret = "hunter2"
	for _, c := range []struct{ yaml, want string }{
		{"{password: [hunter2]}", "::password: a list is not text"},
		{"{password: {hunter2: hunter2}}", "::password: a section of keys is not text"},
		{"{password: 'hunter2 space'}", "::password: [REDACTED] holds a space"},
		{"{servers: [{env: {KEY: [hunter2]}, command: [a]}]}", "::servers[0]::env::KEY: a list is not text"},
		{"{servers: [{env: [hunter2], command: [a]}]}", "::servers[0]::env: a list is not a section of keys"},
		{"{servers: hunter2}", "::servers"},
		{"{headers: {a: [hunter2]}}", "::headers::a: a list is not text"},
		{"{headers: [{name: a, value: [hunter2]}]}", "::headers[0]::value: a list is not text"},
		{"{headers: hunter2}", "::headers"},
		{"{optional: hunter2}", "::optional: a text is not a section of keys"},
		{"{optional: {strict: {token: [hunter2]}}}", "::optional::strict::token: a list is not text"},
		{"{passwort: hunter2}", "::passwort: unknown key"},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			text := "extensions: {thing: " + c.yaml + "}"
			got := Check(conf(t, text), sections(false), []string{"--config=yaml:" + text})
			require.Error(t, got)
			assert.Contains(t, got.Error(), "yaml:…: extensions::thing"+c.want)
			assert.NotContains(t, got.Error(), secret)
		})
	}
	t.Run("a number", func(t *testing.T) {
		got := Check(conf(t, "extensions: {thing: {password: 4711}}"), sections(false), nil)
		require.ErrorContains(t, got, "extensions::thing::password: a number is not text; write it in quotes")
	})
	t.Run("a short one", func(t *testing.T) {
		got := Check(conf(t, "extensions: {thing: {password: 'a b'}}"), sections(false), nil)
		require.ErrorContains(t, got, "extensions::thing::password: [REDACTED] holds a space")
	})
}

func TestAPanicStopsNoStart(t *testing.T) {
	assert.NoError(t, Check(conf(t, "extensions: {thing: {path: x}}"), sections(true), nil))
}

func TestNoSections(t *testing.T) {
	for _, text := range []string{"{}", "extensions:", "extensions: x", "extensions: [thing]", "receivers: {thing: {pathh: x}}"} {
		assert.NoError(t, Check(conf(t, text), sections(false), nil), text)
	}
}

func BenchmarkCheck(b *testing.B) {
	c := conf(b, "extensions: {thing: {path: x, interval: 1s, servers: [{id: a, command: [a]}], optional: {max_age: 2s}}}")
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(c, sections(false), nil); err != nil {
			b.Fatal(err)
		}
	}
}
