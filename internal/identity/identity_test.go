// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestClean(t *testing.T) {
	long := strings.Repeat("x", 4000)
	for name, tc := range map[string]struct {
		in, want string
		repaired bool
	}{
		"plain":            {"acme-prod_1.eu", "acme-prod_1.eu", false},
		"a path stays":     {"../../etc", "../../etc", false},
		"unicode stays":    {"projekt-ä-日本", "projekt-ä-日本", false},
		"inner space":      {"my project", "my project", false},
		"trimmed":          {" \t\u00a0a\n", "a", false},
		"only space":       {" \n ", "", false},
		"control":          {"a\x00b\x1bc\x7f", "a\ufffdb\ufffdc\ufffd", true},
		"invalid UTF-8":    {"a\xffb\xc3", "a\ufffdb\ufffd", true},
		"writing reversed": {"a\u202eb\u2028c\ufeff", "a\ufffdb\ufffdc\ufffd", true},
		"exactly full":     {long[:MaxBytes], long[:MaxBytes], false},
		"cut":              {long, long[:MaxBytes-33] + "~60d8e0cd9a0af0ed56d0bdd5c5a1be60", true},
	} {
		t.Run(name, func(t *testing.T) {
			got, repaired := Clean(tc.in)
			if name == "cut" {
				assert.Len(t, got, MaxBytes)
				assert.Equal(t, tc.want[:MaxBytes-32], got[:MaxBytes-32])
			} else {
				assert.Equal(t, tc.want, got)
			}
			assert.Equal(t, tc.repaired, repaired)
		})
	}
	a, _ := Clean(long + "a")
	b, _ := Clean(long + "b")
	assert.NotEqual(t, a, b, "two long ids stay two")
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a", "../../etc", " a ", "a\x00", "\xff\xfe", strings.Repeat("ä", 400), strings.Repeat("\xff", 600), "\u202e", "\ufffd "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clean, repaired := Clean(s)
		if len(clean) > MaxBytes || !utf8.ValidString(clean) || strings.TrimSpace(clean) != clean {
			t.Fatalf("%q became %q", s, clean)
		}
		for _, r := range clean {
			if invisible(r) {
				t.Fatalf("%q keeps %U", s, r)
			}
		}
		if again, more := Clean(clean); again != clean || more {
			t.Fatalf("%q became %q, then %q", s, clean, again)
		}
		if !repaired && clean != strings.TrimSpace(s) {
			t.Fatalf("%q became %q without saying so", s, clean)
		}
	})
}

func resolve(t *testing.T, r *Resolver, proof Proof, attrs map[string]any) (Resolution, map[string]any, error) {
	t.Helper()
	m := pcommon.NewMap()
	require.NoError(t, m.FromRaw(attrs))
	res, err := r.Resolve(m, proof)
	return res, m.AsRaw(), err
}

func TestResolveTakesTheStrongest(t *testing.T) {
	r := NewResolver(DefaultAliases(), DefaultProject)
	type attrs = map[string]any
	token := Prove(Identity{Project: "A", Server: "s1"}, SourceToken)
	for name, tc := range map[string]struct {
		proof    Proof
		in, want attrs
		source   Source
		repaired int
	}{
		"nothing":                 {Proof{}, attrs{}, attrs{"project.id": "default"}, SourceDefault, 0},
		"canonical":               {Proof{}, attrs{"project.id": "p", "service.namespace": "x"}, attrs{"project.id": "p", "service.namespace": "x"}, SourceResource, 0},
		"aliases in their order":  {Proof{}, attrs{"k8s.namespace.name": "k", "service.namespace": "n", "mastra.deployment.id": "d", "service.instance.id": "i"}, attrs{"k8s.namespace.name": "k", "service.namespace": "n", "mastra.deployment.id": "d", "service.instance.id": "i", "project.id": "n", "deployment.id": "d", "server.id": "i"}, SourceAlias, 0},
		"an empty alias":          {Proof{}, attrs{"mastra.project.id": " ", "service.namespace": "n"}, attrs{"mastra.project.id": " ", "service.namespace": "n", "project.id": "n"}, SourceAlias, 0},
		"blank canonical":         {Proof{}, attrs{"project.id": " ", "build.id": ""}, attrs{"project.id": "default"}, SourceDefault, 0},
		"a number":                {Proof{}, attrs{"project.id": 42}, attrs{"project.id": "42"}, SourceResource, 0},
		"trimmed":                 {Proof{}, attrs{"project.id": " p "}, attrs{"project.id": "p"}, SourceResource, 0},
		"repaired":                {Proof{}, attrs{"project.id": "p\x00", "build.id": "b\x01"}, attrs{"project.id": "p\ufffd", "build.id": "b\ufffd"}, SourceResource, 2},
		"repaired alias":          {Proof{}, attrs{"service.namespace": "p\x00"}, attrs{"service.namespace": "p\x00", "project.id": "p\ufffd"}, SourceAlias, 1},
		"token":                   {token, attrs{"build.id": "b"}, attrs{"project.id": "A", "server.id": "s1", "build.id": "b"}, SourceToken, 0},
		"token and the same":      {token, attrs{"project.id": " A", "server.id": "s1"}, attrs{"project.id": "A", "server.id": "s1"}, SourceToken, 0},
		"token over alias":        {token, attrs{"service.namespace": "B", "service.instance.id": "i"}, attrs{"service.namespace": "B", "service.instance.id": "i", "project.id": "A", "server.id": "s1"}, SourceToken, 0},
		"token without a project": {Prove(Identity{Server: "s"}, SourceToken), attrs{"project.id": "p"}, attrs{"project.id": "p", "server.id": "s"}, SourceResource, 0},
		"auth":                    {Prove(Identity{Project: "A"}, SourceAuth), attrs{}, attrs{"project.id": "A"}, SourceAuth, 0},
		"a path":                  {Proof{}, attrs{"project.id": "../../etc"}, attrs{"project.id": "../../etc"}, SourceResource, 0},
	} {
		t.Run(name, func(t *testing.T) {
			res, got, err := resolve(t, r, tc.proof, tc.in)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.source, res.Source)
			assert.Equal(t, tc.repaired, res.Repaired)
			assert.Equal(t, tc.want["project.id"], res.ID.Project)
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	r := NewResolver(DefaultAliases(), "")
	_, _, err := resolve(t, r, Proof{}, nil)
	require.ErrorIs(t, err, ErrNoProject)

	all := Prove(Identity{"A", "d", "s", "b"}, SourceToken)
	for attribute, want := range map[string]string{
		"project.id":    `project.id: the sender's token is for "A", but the resource claims "Z"`,
		"deployment.id": `deployment.id: the sender's token is for "d", but the resource claims "Z"`,
		"server.id":     `server.id: the sender's token is for "s", but the resource claims "Z"`,
		"build.id":      `build.id: the sender's token is for "b", but the resource claims "Z"`,
	} {
		in := map[string]any{attribute: "Z", "x": "y"}
		_, got, err := resolve(t, r, all, in)
		require.EqualError(t, err, want)
		assert.Equal(t, in, got, "left as it was")
	}
}

func TestProofsAddUp(t *testing.T) {
	token := Prove(Identity{Project: "A"}, SourceToken)
	both, err := token.And(Prove(Identity{Project: "A", Server: "s"}, SourceAuth))
	require.NoError(t, err)
	assert.Equal(t, Identity{Project: "A", Server: "s"}, both.ID)
	_, err = token.And(Prove(Identity{Project: "B"}, SourceAuth))
	var contradiction *ContradictionError
	require.True(t, errors.As(err, &contradiction))
	require.EqualError(t, err, `project.id: the sender's token is for "A", but its authentication says "B"`)
}

func TestTokenTable(t *testing.T) {
	table := NewTokenTable()
	_, ok := table.ResolveToken("")
	assert.False(t, ok)
	require.True(t, table.Add("secret", Identity{Project: "A"}))
	require.False(t, table.Add("secret", Identity{Project: "B"}))
	id, ok := table.ResolveToken("secret")
	assert.True(t, ok)
	assert.Equal(t, "A", id.Project)
	_, ok = table.ResolveToken("secret2")
	assert.False(t, ok)
}

func TestUIDsAreUniqueAndOrdered(t *testing.T) {
	var uids UIDs
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := ""
			for range 200 {
				r := uids.Reserve(10)
				for range 9 { // one unused
					id := r.Next()
					assert.Greater(t, id, last)
					last = id
					mu.Lock()
					assert.False(t, seen[id])
					seen[id] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for id := range seen {
		_, err := ulid.ParseStrict(id)
		require.NoError(t, err)
		break
	}
	r := uids.Reserve(1)
	r.Next()
	assert.Panics(t, func() { r.Next() })
}

func TestUIDsOverCarryOverflowAndAClockThatStepsBack(t *testing.T) {
	now := uint64(1000)
	fill := byte(0xff)
	uids := UIDs{now: func() uint64 { return now }, random: func(b []byte) {
		for i := range b {
			b[i] = fill
		}
	}}
	var all []string
	take := func(n int) {
		r := uids.Reserve(n)
		for range n {
			all = append(all, r.Next())
		}
	}
	take(3) // carries from the lower 64 bits into the upper 16
	now = 900
	take(2) // steps back
	uids.hi, uids.lo = math.MaxUint16, math.MaxUint64-1
	take(1)
	fill = 0
	take(5) // would overflow: the next millisecond
	assert.True(t, slices.IsSorted(all), all)
	assert.Len(t, slices.Compact(slices.Clone(all)), len(all))
	assert.EqualValues(t, 1001, ulid.MustParse(all[len(all)-1]).Time())
}

func TestStampLog(t *testing.T) {
	var uids UIDs
	stamp := func(event string, attrs map[string]any) (plog.LogRecord, bool) {
		record := plog.NewLogRecord()
		record.SetEventName(event)
		require.NoError(t, record.Attributes().FromRaw(attrs))
		r := uids.Reserve(1)
		return record, StampLog(record, &r)
	}
	type attrs = map[string]any

	record, stamped := stamp("", attrs{"a": 1})
	assert.True(t, stamped)
	assert.Equal(t, 2, record.Attributes().Len())
	uid, ok := record.Attributes().Get(AttrLogUID)
	require.True(t, ok)
	assert.Len(t, uid.Str(), 26)

	record, stamped = stamp("", attrs{AttrLogUID: "mine"})
	assert.False(t, stamped)
	assert.Equal(t, attrs{AttrLogUID: "mine"}, record.Attributes().AsRaw())
	_, stamped = stamp("", attrs{AttrLogUID: ""})
	assert.True(t, stamped)

	record, _ = stamp("server.health", attrs{AttrLogUID: "u"})
	assert.Equal(t, attrs{AttrLogUID: "u", AttrEventName: "server.health"}, record.Attributes().AsRaw())
	record, _ = stamp("", attrs{AttrLogUID: "u", AttrEventName: "server.health"})
	assert.Equal(t, "server.health", record.EventName())
	record, _ = stamp("new", attrs{AttrLogUID: "u", AttrEventName: "old"})
	assert.Equal(t, "new", record.EventName())
	assert.Equal(t, attrs{AttrLogUID: "u", AttrEventName: "new"}, record.Attributes().AsRaw())
}

func TestALogWithoutATimeWasObservedNow(t *testing.T) {
	uids := UIDs{now: func() uint64 { return 1_700_000_000_123 }}
	for _, test := range []struct{ time, observed, want pcommon.Timestamp }{{0, 0, 1_700_000_000_123_000_000}, {5, 0, 0}, {0, 6, 6}, {5, 6, 6}} {
		record := plog.NewLogRecord()
		record.SetTimestamp(test.time)
		record.SetObservedTimestamp(test.observed)
		r := uids.Reserve(1)
		StampLog(record, &r)
		assert.Equal(t, test.time, record.Timestamp(), "%+v", test)
		assert.Equal(t, test.want, record.ObservedTimestamp(), "%+v", test)
	}
}

func BenchmarkResolve(b *testing.B) {
	r := NewResolver(DefaultAliases(), DefaultProject)
	base := pcommon.NewMap()
	_ = base.FromRaw(map[string]any{"service.name": "a", "service.version": "1", "telemetry.sdk.name": "o", "telemetry.sdk.language": "nodejs",
		"telemetry.sdk.version": "1", "project.id": "p", "deployment.id": "d", "server.id": "s"})
	proof := Prove(Identity{Project: "p"}, SourceToken)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Resolve(base, proof); err != nil {
			b.Fatal(err)
		}
	}
}
