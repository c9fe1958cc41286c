// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const exampleRules = `
rules:
  - subjects: [ada]
    role: operator
    projects: ["*"]
  - groups: [support]
    claims: {department: [help-*], level: ["2"]}
    role: viewer
    projects: [support, "shop-*"]
  - subjects: ["*@example.com"]
    authenticators: [oidc]
    role: viewer
    projects: [public]
`

func TestRulesDecide(t *testing.T) {
	rules, err := ParseRules([]byte(exampleRules))
	require.NoError(t, err)
	helper := Identity{Subject: "bob", Groups: []string{"x", "support"}, Claims: map[string][]string{"department": {"help-eu"}, "level": ClaimValues(2.0)}}
	assert.Equal(t, []Pattern{"shop-*", "support"}, rules.Decide(helper).Readable())
	assert.Empty(t, rules.Decide(helper).Operable())
	assert.Equal(t, []Pattern{All}, rules.Decide(Identity{Subject: "ada"}).Operable())

	for name, id := range map[string]Identity{
		"nobody":             {Subject: "eve"},
		"group alone":        {Subject: "bob", Groups: []string{"support"}},
		"one claim short":    {Subject: "bob", Groups: []string{"support"}, Claims: map[string][]string{"department": {"help-eu"}}},
		"other claim":        {Subject: "bob", Groups: []string{"support"}, Claims: map[string][]string{"department": {"sales"}, "level": {"2"}}},
		"other auth":         {Subject: "eve@example.com", Authenticator: "basicauth"},
		"subject is a prefx": {Subject: "adam"},
		"no subject":         {},
	} {
		assert.Empty(t, rules.Decide(id).Readable(), name)
	}
	assert.Equal(t, []Pattern{"public"}, rules.Decide(Identity{Subject: "eve@example.com", Authenticator: "oidc"}).Readable())
	assert.Empty(t, Rules(nil).Decide(Identity{Subject: "ada"}).Readable())
}

// A rule that says less than it should must not allow more.
func TestIncompleteRulesAllowNothing(t *testing.T) {
	for _, r := range []Rule{
		{Role: "operator", Projects: []Pattern{All}},
		{Role: "operator", Projects: []Pattern{All}, Authenticators: []string{"oidc"}},
		{Role: "admin", Projects: []Pattern{All}, Subjects: []Pattern{"*"}},
		{Role: "operator", Subjects: []Pattern{"*"}},
		{Role: "operator", Projects: []Pattern{All}, Claims: map[string][]Pattern{"a": nil}},
	} {
		require.Error(t, Rules{r}.Validate("rules"))
		assert.Empty(t, Rules{r}.Decide(Identity{Subject: "ada", Authenticator: "oidc"}).Readable(), "%+v", r)
	}
}

func TestRulesNameTheirMistakes(t *testing.T) {
	for content, want := range map[string]string{
		"":                                       "rules: the file is empty",
		"rules: [{}]\n---\na: b":                 "one YAML document",
		"rule: []":                               "field rule not found",
		"rules: [{subject: [a]}]":                "field subject not found",
		"rules: [{subjects: [a]}]":               `rules[0]::role: must be viewer or operator, is ""`,
		"rules: [{role: viewer, projects: [a]}]": "rules[0]: names nobody",
		`rules: [{subjects: [a], role: viewer}]`: "rules[0]::projects: must not be empty",
		`rules: [{subjects: [""], role: viewer, projects: [a]}]`:             "rules[0]::subjects[0]",
		`rules: [{claims: {b: []}, role: root, projects: [a]}]`:              "rules[0]::claims::b: must have a value",
		`rules: [{subjects: [a], role: viewer, projects: ["` + long + `"]}]`: "rules[0]::projects[0]: a project pattern is longer",
	} {
		_, err := ParseRules([]byte(content))
		assert.ErrorContains(t, err, want, content)
	}
	rules, err := ParseRules([]byte("rules: []"))
	require.NoError(t, err)
	assert.Empty(t, rules)
}

var long = strings.Repeat("x", MaxPatternBytes+1)

func TestClaimValues(t *testing.T) {
	assert.Equal(t, []string{"a", "1.5", "true"}, ClaimValues([]any{"a", 1.5, true, nil, map[string]any{"x": 1}, []any{"deep"}}))
	assert.Equal(t, []string{"1"}, ClaimValues(1.0))
	assert.Nil(t, ClaimValues(nil))
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte(exampleRules))
	f.Add([]byte("rules: []"))
	f.Add([]byte("rules: [{subjects: ['*'], role: viewer, projects: ['*']}]"))
	f.Add([]byte("rules: &a [*a]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		rules, err := ParseRules(content)
		if err != nil {
			return
		}
		// What was accepted gives nothing to who has no name, no group and no claim, unless it says so for all.
		if c := rules.Decide(Identity{Subject: "\x00nobody"}); len(c.Readable()) > 0 {
			for _, r := range rules {
				if len(r.Authenticators) == 0 && anyMatch(r.Subjects, []string{"\x00nobody"}) {
					return
				}
			}
			t.Fatalf("%s gives nobody %v", content, c.Readable())
		}
	})
}
