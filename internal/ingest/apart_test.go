// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/ingest"
)

// batchLine is one line with a record for each uid.
func batchLine(uids ...string) string {
	var records []string
	for _, uid := range uids {
		records = append(records, fmt.Sprintf(`{"timeUnixNano":"1767225600000000000","body":{"stringValue":"%s"}}`, uid))
	}
	return `{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[` + strings.Join(records, ",") + `]}]}]}` + "\n"
}

func refuse(err error, bad ...string) func([]string) error {
	return func(uids []string) error {
		for _, uid := range bad {
			if slices.Contains(uids, uid) {
				return err
			}
		}
		return nil
	}
}

func TestARecordThatIsRefusedIsFoundAndTheRestIsStored(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.refuse = refuse(errRefused, "bad0", "bad1", "b500")
	text, want := lines("a", 300)
	put(t, dir, "logs/p/1.jsonl.open", text+batchLine("x", "bad0", "y")+"torn\n"+line("bad1"))
	more, uids := lines("b", 600)
	put(t, dir, "logs/q/1.jsonl.open", more)
	start(t, options(dir, s))
	want = append(append(want, "x", "y"), slices.DeleteFunc(uids, func(uid string) bool { return uid == "b500" })...)
	loaded(t, s, want...)
	eventually(t, func() bool { return s.count(s.failed, "refused") == 3 }, "in failed/")
	failed := read(t, filepath.Join(dir, "logs/p/failed/1+0.jsonl"))
	assert.Equal(t, 3, strings.Count(failed, "\n"))
	assert.Contains(t, failed, "bad0")
	assert.Contains(t, failed, "torn")
	assert.NotContains(t, failed, `"x"`)
	assert.Equal(t, line("bad1"), strings.SplitAfter(failed, "\n")[2], "a line of one record is kept as it is")
	why := read(t, filepath.Join(dir, "logs/p/failed/1+0.reasons.ndjson"))
	assert.Contains(t, why, `"token":"`)
	assert.Contains(t, why, errRefused.Error())
	assert.Positive(t, s.count(s.trouble, "apart"))
	require.NoError(t, s.lastHealth(), "well again")

	// What was refused alone can be put back.
	s.setRefuse(nil)
	put(t, dir, "logs/p/1+0.jsonl.open", batchLine("bad0")+line("bad1"))
	loaded(t, s, append(want, "bad0", "bad1")...)
}

func TestWhatIsDoubtfulIsTakenApartOnlyWhenTheStoreCanBeAsked(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.refuse = refuse(errDoubtful, "a7")
	s.partly = 5 // the store keeps some records of what it refuses, as it does when a later partition fails
	text, want := lines("a", 50)
	put(t, dir, "logs/p/1.jsonl.open", text)
	e := start(t, options(dir, s))
	eventually(t, func() bool { return len(s.tries()) > 8 }, "repeated")
	assert.Equal(t, 1, len(uniqueTokens(s.tries())), "without asking, only what is frozen is sent")
	stop(t, e)

	o := options(dir, s)
	o.Sources[0].Missing = s.missing
	start(t, o)
	loaded(t, s, slices.Delete(want, 7, 8)...)
	eventually(t, func() bool { return s.count(s.failed, "refused") == 1 }, "in failed/")
}

func uniqueTokens(tries []attempt) map[string]bool {
	tokens := map[string]bool{}
	for _, a := range tries {
		tokens[a.token] = true
	}
	return tokens
}

func TestAStoreThatRefusesEverythingForNoKnownReasonLosesNothing(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.answer(errDoubtful, false)
	text, want := lines("a", 100)
	put(t, dir, "logs/p/1.jsonl.open", text)
	o := options(dir, s)
	o.Limits.RetryMin, o.Limits.RetryMax = time.Millisecond, time.Millisecond
	o.Sources[0].Missing = s.missing
	start(t, o)
	eventually(t, func() bool { return len(s.tries()) > 1000 }, "goes on trying")
	assert.NoDirExists(t, filepath.Join(dir, "logs/p/failed"))
	s.answer(nil, false)
	loaded(t, s, want...)
}

func TestALoneRecordThatIsRefusedDoesNotHoldUpOthersForEver(t *testing.T) {
	for _, why := range []error{errRefused, errDoubtful} {
		t.Run(why.Error(), func(t *testing.T) {
			dir, s := t.TempDir(), newStore()
			s.refuse = refuse(why, "bad")
			put(t, dir, "logs/p/1.jsonl.open", line("bad"))
			o := options(dir, s)
			o.Sources[0].Missing = s.missing
			start(t, o)
			eventually(t, func() bool { return s.count(s.failed, "refused") == 1 }, "in failed/")
			put(t, dir, "logs/p/1.jsonl.open", line("good"))
			loaded(t, s, "good")
		})
	}
}

func TestABatchThatIsTakenApartGoesOnAfterAStop(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.refuse = refuse(errRefused, "a3", "a77", "b5")
	text, a := lines("a", 80)
	more, b := lines("b", 20)
	put(t, dir, "logs/p/1.jsonl", text)
	put(t, dir, "logs/q/1.jsonl", more)
	want := slices.DeleteFunc(append(a, b...), func(uid string) bool { return uid == "a3" || uid == "a77" || uid == "b5" })
	// The store goes away after every third answer, and the engine is stopped then.
	done := func() bool {
		return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) && isFile(filepath.Join(dir, "logs/q/processed/1.jsonl"))
	}
	for run := 0; run < 60 && !done(); run++ {
		s.quota(2 + run/4)
		o := options(dir, s)
		o.Limits.MaxRecords = 1000 - run // must not matter
		n := len(s.tries())
		e := start(t, o)
		eventually(t, func() bool { return len(s.tries()) >= n+3+run/4 || done() }, "a few attempts")
		stop(t, e)
	}
	require.True(t, done())
	assert.ElementsMatch(t, want, s.uids())
	assert.Equal(t, line("a3")+line("a77"), read(t, filepath.Join(dir, "logs/p/failed/1+0.jsonl")))
	assert.Equal(t, line("b5"), read(t, filepath.Join(dir, "logs/q/failed/1+0.jsonl")))
	for token, uids := range s.sent() {
		assert.Len(t, uids, 1, "what is sent under %s is always the same", token)
	}
}

func TestAnOldBatchIsOnlySentAfterTheStoreWasAsked(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.answer(errors.New("time-out"), true)
	text, want := lines("a", 10)
	put(t, dir, "logs/p/1.jsonl.open", text)
	e := start(t, options(dir, s))
	eventually(t, func() bool { return len(s.tries()) > 0 }, "sent")
	stop(t, e)
	s.forget() // the store's memory of tokens is limited
	s.answer(nil, false)
	o := options(dir, s)
	o.Limits.TokenWindow = time.Nanosecond
	o.Sources[0].Missing = s.missing
	start(t, o)
	put(t, dir, "logs/p/1.jsonl.open", line("next"))
	loaded(t, s, append(want, "next")...)
}

var _ ingest.Observer = (*store)(nil)
