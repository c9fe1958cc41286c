// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPatternMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern Pattern
		id      string
		want    bool
	}{
		{"shop", "shop", true},
		{"shop", "shop-eu", false},
		{"shop-*", "shop-eu", true},
		{"shop-*", "shop-", true},
		{"shop-*", "shop", false},
		{"*", "", true},
		{"*", "../../etc", true},
		{"*-eu", "shop-eu", true},
		{"*-eu", "shop-eu-1", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "acb", false},
		{"ab*ba", "aba", false},
		{"a_c", "abc", false},
		{"a.c", "abc", false},
	} {
		assert.Equal(t, tc.want, tc.pattern.Match(tc.id), "%s %s", tc.pattern, tc.id)
	}
}

func FuzzPatternMatch(f *testing.F) {
	f.Add("shop-*", "shop-eu")
	f.Add("*a*b*", "xaxbx")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, p, id string) {
		expr := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*") + "$"
		re, err := regexp.Compile(expr)
		if err != nil {
			return // no text that a regular expression can hold
		}
		if got, want := Pattern(p).Match(id), re.MatchString(id); got != want {
			t.Fatalf("%q on %q is %v, want %v", p, id, got, want)
		}
	})
}

func TestCallerRoles(t *testing.T) {
	c := NewCaller("ada", "basic", time.Time{}, []Grant{
		{Role: RoleViewer, Projects: []Pattern{"shop-*", "support"}},
		{Role: RoleOperator, Projects: []Pattern{"shop-eu", "support"}},
	})
	assert.Equal(t, RoleOperator, c.Role("shop-eu"))
	assert.Equal(t, RoleViewer, c.Role("shop-us"))
	assert.Equal(t, RoleNone, c.Role("shop"))
	assert.True(t, c.MayRead("shop-us"))
	assert.False(t, c.MayOperate("shop-us"))
	assert.Equal(t, []Pattern{"shop-*", "shop-eu", "support"}, c.Readable())
	assert.Equal(t, []Pattern{All}, Local().Readable())
}

func TestNobodyMaySeeNothing(t *testing.T) {
	c := FromContext(context.Background())
	assert.Nil(t, c)
	assert.False(t, c.MayRead("shop"))
	assert.Empty(t, c.Readable())
	assert.Empty(t, c.Subject())

	ctx := NewContext(context.Background(), Local())
	assert.True(t, FromContext(ctx).MayOperate("anything"))
}

func TestPatternLike(t *testing.T) {
	assert.Equal(t, `50\%\_off\\%`, Pattern(`50%_off\*`).Like())
}
