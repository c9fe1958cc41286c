// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
)

func listed(t *testing.T, e *ingest.Engine) map[string]pipelinestatus.FailedFile {
	t.Helper()
	all, err := e.List(t.Context())
	require.NoError(t, err)
	by := map[string]pipelinestatus.FailedFile{}
	for _, f := range all {
		by[f.File] = f
	}
	return by
}

// refusedPutBack returns why a file stays.
func refusedPutBack(t *testing.T, e *ingest.Engine, file string) *pipelinestatus.PutBackError {
	t.Helper()
	var refused *pipelinestatus.PutBackError
	require.ErrorAs(t, e.PutBack(t.Context(), file), &refused, file)
	return refused
}

func TestFailedLinesAreListedWithReasonsAndPutBackOnce(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.refuse = refuse(errRefused, "bad")
	put(t, dir, "logs/%2E%2Eshop/1.jsonl.open", line("a")+line("bad")+"torn\n"+line("b"))
	began := time.Now().Add(-time.Second)
	e := start(t, options(dir, s))
	loaded(t, s, "a", "b")
	eventually(t, func() bool { return s.count(s.failed, "refused") == 1 }, "in failed/")

	const name = "logs/%2E%2Eshop/1+0.jsonl"
	all := listed(t, e)
	require.Len(t, all, 1)
	f := all[name]
	assert.WithinRange(t, f.Time, began, time.Now())
	f.Time = time.Time{}
	assert.Equal(t, pipelinestatus.FailedFile{
		File: name, Signal: "logs", Type: "logs", Project: "..shop", Sure: true, Segment: "1", Bytes: int64(len(line("bad") + "torn\n")),
	}, f)
	reasons, n, err := e.Reasons(t.Context(), name, 1)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	require.Len(t, reasons, 1)
	reasons, _, err = e.Reasons(t.Context(), name, 10)
	require.NoError(t, err)
	kinds := map[string]pipelinestatus.FailedReason{}
	for _, r := range reasons {
		kinds[r.Kind] = r
	}
	assert.Contains(t, kinds["refused"].Reason, errRefused.Error())
	assert.NotEmpty(t, kinds["refused"].Token)
	assert.Equal(t, int64(len(line("a"))), kinds["refused"].From)
	assert.Equal(t, 2, kinds["unreadable"].Line)
	assert.Empty(t, kinds["unreadable"].Token)

	s.setRefuse(nil)
	require.NoError(t, e.PutBack(t.Context(), name))
	loaded(t, s, "a", "b", "bad")
	require.ErrorIs(t, e.PutBack(t.Context(), name), pipelinestatus.ErrNoFailedFile)
	const again = "logs/%2E%2Eshop/1+0+0.jsonl" // what can't be read still can't
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/%2E%2Eshop/failed/1+0+0.reasons.ndjson")) }, "in failed/ again")
	assert.Equal(t, int64(len("torn\n")), listed(t, e)[again].Bytes)
	assert.Len(t, listed(t, e), 1, "the reasons of what was put back are gone")
	eventually(t, func() bool { return len(s.uids()) == 3 }, "nothing twice")
}

func TestWholeSegmentsArePutBackUnderTheirOwnName(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	text, uids := lines("a", 10)
	path := put(t, dir, "logs/p/1.jsonl.open", text)
	e := start(t, options(dir, s))
	loaded(t, s, uids...)
	// It is cut, so it is shorter than what was loaded of it.
	short := text[:3*len(line("a0"))]
	require.NoError(t, os.WriteFile(path, []byte(short), 0o600))
	require.NoError(t, os.Rename(path, strings.TrimSuffix(path, ".open")))
	failed := filepath.Join(dir, "logs/p/failed/1.jsonl")
	eventually(t, func() bool { return isFile(failed) && len(listed(t, e)) == 1 }, "in failed/")
	f := listed(t, e)["logs/p/1.jsonl"]
	assert.True(t, f.Whole)
	assert.Equal(t, int64(len(short)), f.Bytes)
	reasons, _, err := e.Reasons(t.Context(), f.File, 5)
	require.NoError(t, err)
	assert.Equal(t, int64(len(text)), reasons[0].From)

	// Mended, it goes on behind what was loaded.
	require.NoError(t, os.WriteFile(failed, []byte(text+line("more")), 0o600))
	require.NoError(t, e.PutBack(t.Context(), f.File))
	loaded(t, s, append(uids, "more")...)
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) }, "processed")

	// The same name again was loaded before, so it stays, also when processed/ is emptied.
	age(t, put(t, dir, "logs/p/1.jsonl", text))
	eventually(t, func() bool { return isFile(failed) && len(listed(t, e)) == 1 }, "in failed/")
	assert.Contains(t, refusedPutBack(t, e, f.File).Reason, "loaded before")
	require.NoError(t, os.Remove(filepath.Join(dir, "logs/p/processed/1.jsonl")))
	assert.Contains(t, refusedPutBack(t, e, f.File).Reason, "loaded before")
	assert.True(t, isFile(failed))
	assert.Len(t, s.uids(), len(uids)+1)
}

func TestWhatCouldDoubleStaysInFailed(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	reason := func(kind, file, why string, from string) string {
		return `{"line":1,"file":"` + file + `","from":` + from + `,"to":9,"kind":"` + kind + `","reason":"` + why + `"}` + "\n"
	}
	for name, why := range map[string]string{
		"changed+0": reason("changed", "logs/p/changed", "x", "0"),
		"nothing+0": "",
		"behind":    reason("file", "logs/p/behind", "x", "5"),
		"foreign":   reason("file", "logs/q/foreign", "x", "0"),
		"waits+0":   reason("refused", "logs/p/waits", "x", "0"),
		"done+0":    reason("refused", "logs/p/done", "x", "0"),
	} {
		put(t, dir, "logs/p/failed/"+name+".jsonl", line(name))
		if why != "" {
			put(t, dir, "logs/p/failed/"+name+".reasons.ndjson", why)
		}
	}
	put(t, dir, "logs/p/waits+0.jsonl.open", "")
	put(t, dir, "logs/p/processed/done+0.jsonl", "")
	e := start(t, options(dir, s))
	for name, why := range map[string]string{
		"changed+0": "a part of them may be stored", "nothing+0": "nothing beside it says", "behind": "first 5 bytes are loaded", "foreign": "another folder",
		"waits+0": "waits beside failed/", "done+0": "loaded already",
	} {
		refused := refusedPutBack(t, e, "logs/p/"+name+".jsonl")
		assert.Contains(t, refused.Reason, why)
		assert.False(t, refused.Later)
		assert.True(t, isFile(filepath.Join(dir, "logs/p/failed", name+".jsonl")))
	}
	assert.Empty(t, s.uids())
}

func TestNoPathLeadsOutOfFailed(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	secret := put(t, t.TempDir(), "secret.jsonl", line("secret"))
	why := `{"line":1,"file":"logs/p/x","from":0,"to":9,"kind":"refused","reason":"x"}` + "\n"
	put(t, dir, "logs/p/failed/good+0.jsonl", line("good"))
	put(t, dir, "logs/p/failed/good+0.reasons.ndjson", why)
	put(t, dir, "logs/p/failed/linked+0.reasons.ndjson", why)
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "logs/p/failed/linked+0.jsonl")))
	put(t, dir, "elsewhere/failed/x+0.jsonl", line("elsewhere"))
	put(t, dir, "elsewhere/failed/x+0.reasons.ndjson", why)
	require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "logs/linked")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "logs/q"), 0o750))
	require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere/failed"), filepath.Join(dir, "logs/q/failed")))
	put(t, dir, "spans/p/failed/other+0.jsonl", line("x"))
	e := start(t, options(dir, s))
	all := listed(t, e)
	require.Len(t, all, 1)
	for _, file := range []string{
		"", "good+0.jsonl", "/logs/p/good+0.jsonl", "logs/p/../good+0.jsonl", "logs/../p/good+0.jsonl", "../logs/good+0.jsonl", "logs/p/failed/good+0.jsonl", "logs/p/good+0", "logs/p/none+0.jsonl",
		"logs/p/good+0.reasons.ndjson", `logs/p/..\good+0.jsonl`, "logs/p/good+0.jsonl\x00", "logs/p/linked+0.jsonl", "logs/linked/x+0.jsonl", "logs/q/x+0.jsonl", "spans/p/other+0.jsonl", "logs//good+0.jsonl", "logs/p/.jsonl",
		"LOGS/p/good+0.jsonl", ".ingest/logs/x.jsonl", "logs/p/" + secret,
	} {
		require.ErrorIs(t, e.PutBack(t.Context(), file), pipelinestatus.ErrNoFailedFile, "%q", file)
		if file != "logs/p/none+0.jsonl" && file != "logs/p/linked+0.jsonl" {
			_, _, err := e.Reasons(t.Context(), file, 1)
			require.ErrorIs(t, err, pipelinestatus.ErrNoFailedFile, "%q", file)
		}
	}
	require.NoError(t, e.PutBack(t.Context(), "logs/p/good+0.jsonl"))
	loaded(t, s, "good")
}

// While a batch is not answered a crash would write its bad lines to failed/ again, so they are not put back meanwhile.
func TestNothingIsPutBackWhileABatchIsOnItsWay(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.answer(errors.New("away"), false)
	put(t, dir, "logs/p/1.jsonl.open", "torn\n"+line("a"))
	e := start(t, options(dir, s))
	eventually(t, func() bool {
		return isFile(filepath.Join(dir, "logs/p/failed/1+0.reasons.ndjson")) && len(s.tries()) > 0
	}, "in failed/")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var refused *pipelinestatus.PutBackError
	require.ErrorAs(t, e.PutBack(ctx, "logs/p/1+0.jsonl"), &refused)
	assert.True(t, refused.Later)
	assert.True(t, isFile(filepath.Join(dir, "logs/p/failed/1+0.jsonl")))
	s.answer(nil, false)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs/p/failed/1+0.jsonl"), []byte(line("mended")), 0o600))
	require.NoError(t, e.PutBack(t.Context(), "logs/p/1+0.jsonl"))
	loaded(t, s, "a", "mended")
	stop(t, e)
	require.ErrorAs(t, e.PutBack(t.Context(), "logs/p/1+0.jsonl"), &refused)
	assert.True(t, refused.Later)
}

func TestOnlyReasonsAreListedWhenNothingCouldBeKept(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	put(t, dir, "logs/~cut/failed/1+0.reasons.ndjson", `{"file":"logs/~cut/1","from":0,"to":9,"kind":"changed","reason":"it is gone"}`+"\n")
	put(t, dir, "logs/p/failed/2+0.reasons.ndjson", `{"line":1,"file":"logs/p/2","from":0,"to":9,"kind":"refused","reason":"put back by hand"}`+"\n")
	put(t, dir, "logs/p/failed/3+0.reasons.ndjson", "no JSON\n")
	e := start(t, options(dir, s))
	all := listed(t, e)
	require.Len(t, all, 1)
	f := all["logs/~cut/1+0.jsonl"]
	assert.Zero(t, f.Bytes)
	assert.False(t, f.Sure, "a name that was cut is not the project's id")
	require.ErrorIs(t, e.PutBack(t.Context(), f.File), pipelinestatus.ErrNoFailedFile)
}

func FuzzReasons(f *testing.F) {
	for _, seed := range []string{
		"", "\n", `{"line":1,"file":"logs/p/1","from":0,"to":9,"kind":"refused","reason":"x","token":"t"}` + "\n", `{"file":"../../x","kind":"file"}` + "\n", "[]\n{}\nnull\n", strings.Repeat("x", 5000),
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, most int) {
		most = max(0, min(most, 100))
		kinds, all := ingest.ParseReasonsForTest(text, most)
		if len(kinds) > most || len(kinds) > all {
			t.Fatalf("%d of %d reasons, at most %d", len(kinds), all, most)
		}
		for _, kind := range kinds {
			if kind == "" {
				t.Fatal("a reason without kind")
			}
		}
	})
}
