// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

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

	"github.com/tailrace/tailrace/internal/ingest"
)

func TestFollowsAnOpenSegmentAndMovesItWhenComplete(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	start(t, options(dir, s))
	open := put(t, dir, "logs/p/1.jsonl.open", line("a")+line("b")+`{"resourceLogs":[{"torn`)
	loaded(t, s, "a", "b")
	assert.FileExists(t, open, "an open segment is its writer's")

	require.NoError(t, os.Truncate(open, int64(len(line("a")+line("b"))))) // as recovery cuts a torn line off
	put(t, dir, "logs/p/1.jsonl.open", line("c"))
	loaded(t, s, "a", "b", "c")
	put(t, dir, "logs/p/1.jsonl.open", line("d"))
	require.NoError(t, os.Rename(open, filepath.Join(dir, "logs/p/1.jsonl")))
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) }, "moved")
	loaded(t, s, "a", "b", "c", "d")
	assert.NoFileExists(t, filepath.Join(dir, "logs/p/1.jsonl"))
}

func TestLoadsWhatLiesThereAtTheStart(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	var want []string
	for _, name := range []string{"logs/p1/1.jsonl", "logs/p1/2.jsonl", "logs/p2/1.jsonl", "scores/p1/1.jsonl", "scores/p1/2.jsonl.open"} {
		text, uids := lines(name, 10)
		age(t, put(t, dir, name, text))
		want = append(want, uids...)
	}
	put(t, dir, "spans/p1/1.jsonl", "not ours\n")
	e := start(t, options(dir, s))
	loaded(t, s, want...)
	eventually(t, func() bool { return e.Pending("logs").Files == 0 }, "all moved")
	assert.FileExists(t, filepath.Join(dir, "spans/p1/1.jsonl"), "a signal that is not wired is not touched")
	stop(t, e)
	e = start(t, options(dir, s))
	stop(t, e)
	loaded(t, s, want...)
}

func TestNameOrderWithinAProjectAndTurnsBetweenProjects(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	pad := strings.Repeat("x", 1000)
	for f := range 4 { // 4 × 500 KB for the busy one: several batches
		text := &strings.Builder{}
		for i := range 400 {
			text.WriteString(line(fmt.Sprintf("busy-%d-%03d-%s", f, i, pad)))
		}
		put(t, dir, fmt.Sprintf("logs/busy/%d.jsonl", f), text.String())
	}
	put(t, dir, "logs/quiet/1.jsonl", line("quiet"))
	start(t, options(dir, s))
	eventually(t, func() bool { return len(s.uids()) == 1601 }, "all")
	var busy []string
	place := -1
	for i, uid := range s.uids() {
		if uid == "quiet" {
			place = i
			continue
		}
		busy = append(busy, uid)
	}
	assert.IsIncreasing(t, busy)
	assert.Less(t, place, 1200, "a busy project does not hold up another one")
}

func TestBadLinesGoToFailedAndTheRestIsLoaded(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	long := `{"long":"` + strings.Repeat("x", 200_000) + `"}`
	deep := strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)
	wrong := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":{}}]}]}]}`
	twice := strings.TrimSuffix(line("x"), "\n") + line("y")
	future := strings.Replace(line("future"), `"timeUnixNano":"17`, `"timeUnixNano":"157`, 1)
	text := line("a") + "not json\n" + "\n" + long + "\n" + line("b") + deep + "\n" + wrong + "\n" + twice +
		`{"resourceSpans":[{}]}` + "\n" + future + line("c") + "\x00\xff\n"
	put(t, dir, "logs/p/1.jsonl", text)
	start(t, options(dir, s))
	loaded(t, s, "a", "b", "c")
	failed := read(t, filepath.Join(dir, "logs/p/failed/1+0.jsonl"))
	got := strings.Split(strings.TrimSuffix(failed, "\n"), "\n")
	require.Len(t, got, 8)
	assert.Equal(t, []string{"not json", long, deep, wrong, strings.TrimSuffix(twice, "\n"), `{"resourceSpans":[{}]}`}, got[:6])
	assert.Contains(t, got[6], `"stringValue":"future"`)
	assert.Equal(t, "\x00\xff", got[7])
	reasons := strings.Split(strings.TrimSpace(read(t, filepath.Join(dir, "logs/p/failed/1+0.reasons.ndjson"))), "\n")
	require.Len(t, reasons, 8)
	assert.Contains(t, reasons[0], fmt.Sprintf(`"line":1,"file":"logs/p/1","from":%d,`, len(line("a"))))
	assert.Contains(t, reasons[1], `"kind":"too_long"`)
	assert.Contains(t, reasons[6], "2262")
	eventually(t, func() bool { return s.count(s.failed, "unreadable") == 6 }, "counted")
	assert.Equal(t, 1, s.count(s.failed, "too_long"))
	assert.Equal(t, 1, s.count(s.failed, "rejected"))

	// Put back, after somebody mended the first line: it is loaded as a segment of its own.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs/p/failed/1+0.jsonl"), []byte(line("mended")), 0o600))
	require.NoError(t, os.Rename(filepath.Join(dir, "logs/p/failed/1+0.jsonl"), filepath.Join(dir, "logs/p/1+0.jsonl")))
	loaded(t, s, "a", "b", "c", "mended")
}

func TestAnErrorIsRetriedWithTheSameBatchAndToken(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.answer(errors.New("away"), false)
	text, want := lines("r", 50)
	put(t, dir, "logs/p/1.jsonl.open", text)
	start(t, options(dir, s))
	eventually(t, func() bool { return len(s.tries()) >= 3 }, "retries")
	put(t, dir, "logs/p/1.jsonl.open", line("later"))
	s.answer(nil, false)
	loaded(t, s, append(want, "later")...)
	tries := s.tries()
	for _, a := range tries[1:3] {
		assert.Equal(t, tries[0], a, "the batch that is repeated is the batch")
	}
	require.Len(t, s.health, 2, "reported on change only")
	require.ErrorContains(t, s.health[0], "away")
	require.NoError(t, s.health[1])
}

func TestABatchOfAnEarlierRunIsRepeatedAsItWasWhateverTheSettingsAre(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		t.Run(fmt.Sprintf("arrived=%t", arrived), func(t *testing.T) {
			dir, s := t.TempDir(), newStore()
			s.answer(errors.New("time-out"), arrived)
			var want []string
			for _, name := range []string{"logs/p1/1.jsonl", "logs/p2/1.jsonl.open", "scores/p1/1.jsonl"} {
				text, uids := lines(name, 100)
				put(t, dir, name, text+strings.Repeat("x", 5000)+"\n")
				want = append(want, uids...)
			}
			e := start(t, options(dir, s))
			eventually(t, func() bool { return len(s.tries()) > 0 }, "sent")
			stop(t, e)
			first := s.tries()[0]

			put(t, dir, "logs/p0/0.jsonl", line("new"))
			require.NoError(t, os.Rename(filepath.Join(dir, "logs/p2/1.jsonl.open"), filepath.Join(dir, "logs/p2/1.jsonl")))
			before := len(s.tries())
			s.answer(nil, false)
			o := options(dir, s)
			o.Limits.MaxRecords, o.Limits.MaxBytes, o.Limits.MaxLineBytes = 7, 2000, 2000
			start(t, o)
			loaded(t, s, append(want, "new")...)
			assert.Equal(t, first, s.tries()[before])
			assert.Equal(t, 1, s.replayed)
		})
	}
}

func TestARefusalForGoodGoesToFailedAndTheRestGoesOn(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.answer(errPermanent, false)
	text, _ := lines("refused", 3)
	put(t, dir, "logs/p/1.jsonl.open", text+"bad\n")
	start(t, options(dir, s))
	failed := filepath.Join(dir, "logs/p/failed/1+0.jsonl")
	eventually(t, func() bool { return s.count(s.failed, "refused") == 3 }, "failed")
	assert.Equal(t, text+"bad\n", read(t, failed))
	why := read(t, filepath.Join(dir, "logs/p/failed/1+0.reasons.ndjson"))
	assert.Contains(t, why, s.tries()[0].token)
	s.answer(nil, false)
	put(t, dir, "logs/p/1.jsonl.open", line("next"))
	loaded(t, s, "next")
}

func TestManyDaysAreSentInUnitsThatSurviveARepetition(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	var want []string
	text := ""
	for day := range 130 {
		uid := fmt.Sprintf("day%d", day)
		want = append(want, uid)
		text += lineAt(uid, day)
	}
	put(t, dir, "logs/p/1.jsonl", text)
	start(t, options(dir, s))
	loaded(t, s, want...)
	require.Len(t, s.units, 3)
	assert.Len(t, s.units[0], 48)
	assert.Len(t, s.tokens, 3)
	assert.True(t, strings.HasSuffix(s.tries()[2].token, ".2"))
}

func TestFilesThatChangeUnderAnUnansweredBatch(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"gone":    func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"shorter": func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, int64(len(line("x0"))))) },
		"changed": func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte(line("z0")+line("z1")+line("z2")), 0o600))
		},
	} {
		for i, arrived := range []bool{false, true, false, true} {
			restart := i < 2
			t.Run(fmt.Sprintf("%s/arrived=%t/restart=%t", name, arrived, restart), func(t *testing.T) {
				dir, s := t.TempDir(), newStore()
				o := options(dir, s)
				o.Limits.MaxDelay = 500 * time.Millisecond
				e := start(t, o)
				put(t, dir, "logs/p0/1.jsonl.open", line("first"))
				loaded(t, s, "first") // the next batch is due later, so both files are in it
				s.answer(errors.New("time-out"), arrived)
				text, _ := lines("x", 3)
				victim := put(t, dir, "logs/p1/1.jsonl", text)
				other, _ := lines("y", 3)
				put(t, dir, "logs/p2/1.jsonl", other)
				eventually(t, func() bool { return len(s.tries()) > 1 }, "sent")
				require.Equal(t, 5, strings.Count(s.tries()[1].uids, " "))
				if restart {
					stop(t, e)
				}
				change(t, victim)
				age(t, filepath.Join(dir, "logs/p2/1.jsonl"))
				if !restart {
					n := len(s.tries())
					eventually(t, func() bool { return len(s.tries()) > n+1 }, "sent again")
				}
				s.answer(nil, false)
				if restart {
					start(t, options(dir, s))
				}
				want := []string{"first", "y0", "y1", "y2"}
				if arrived {
					want = append(want, "x0", "x1", "x2")
				}
				loaded(t, s, want...)
				eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p2/processed/1.jsonl")) }, "the other file is done")
				assert.Contains(t, read(t, filepath.Join(dir, "logs/p1/failed/1+0.reasons.ndjson")), `"kind":"changed"`)
				if name == "changed" {
					assert.Equal(t, line("z0")+line("z1")+line("z2"), read(t, filepath.Join(dir, "logs/p1/failed/1+0.jsonl")))
				}
			})
		}
	}
}

func TestASegmentThatWasLoadedIsNotLoadedAgain(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	age(t, put(t, dir, "logs/p/1.jsonl", line("a")))
	start(t, options(dir, s))
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) }, "moved")
	put(t, dir, "logs/p/1.jsonl.tmp", line("a"))
	age(t, filepath.Join(dir, "logs/p/1.jsonl.tmp"))
	require.NoError(t, os.Rename(filepath.Join(dir, "logs/p/1.jsonl.tmp"), filepath.Join(dir, "logs/p/1.jsonl")))
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/failed/1.jsonl")) }, "refused")
	assert.Equal(t, []string{"a"}, s.uids())
	assert.Contains(t, read(t, filepath.Join(dir, "logs/p/failed/1.reasons.ndjson")), "loaded already")
}

func TestOpenAndCompleteOfOneNameAreNotLoadedTwice(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	put(t, dir, "logs/p/1.jsonl", line("a")+line("b"))
	put(t, dir, "logs/p/1.jsonl.open", line("a"))
	age(t, filepath.Join(dir, "logs/p/1.jsonl"))
	start(t, options(dir, s))
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) }, "moved")
	put(t, dir, "logs/p/1.jsonl.open", line("b"))
	put(t, dir, "logs/p/2.jsonl.open", line("c"))
	loaded(t, s, "a", "b", "c")
	assert.Positive(t, s.count(s.trouble, "segment"))
}

func TestASegmentThatShrinksIsNotReadOn(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	open := put(t, dir, "logs/p/1.jsonl.open", line("a")+line("b"))
	start(t, options(dir, s))
	loaded(t, s, "a", "b")
	require.NoError(t, os.Truncate(open, int64(len(line("a")))))
	eventually(t, func() bool { return s.count(s.trouble, "segment") == 1 }, "noticed")
	put(t, dir, "logs/p/1.jsonl.open", line("c"))
	require.NoError(t, os.Rename(open, filepath.Join(dir, "logs/p/1.jsonl")))
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/failed/1.jsonl")) }, "kept for a human")
	assert.Equal(t, []string{"a", "b"}, s.uids())
}

func TestAVanishedSegmentThatComesBackGoesOnWhereItWas(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	open := put(t, dir, "logs/p/1.jsonl.open", line("a"))
	start(t, options(dir, s))
	loaded(t, s, "a")
	away := filepath.Join(t.TempDir(), "away")
	require.NoError(t, os.Rename(open, away))
	put(t, dir, "logs/p/2.jsonl.open", line("b"))
	loaded(t, s, "a", "b")
	require.NoError(t, os.Rename(away, open))
	put(t, dir, "logs/p/1.jsonl.open", line("c"))
	loaded(t, s, "a", "b", "c")
}

func TestALastLineWithoutNewlineOfACompleteForeignFile(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	age(t, put(t, dir, "logs/p/1.jsonl", line("a")+strings.TrimSuffix(line("b"), "\n")))
	start(t, options(dir, s))
	loaded(t, s, "a", "b")
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) }, "moved")
}

func TestDeleteAfterIngest(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	path := put(t, dir, "logs/p/1.jsonl", line("a"))
	age(t, path)
	o := options(dir, s)
	o.Delete = true
	e := start(t, o)
	eventually(t, func() bool { return !isFile(path) }, "deleted")
	stop(t, e)
	assert.NoFileExists(t, filepath.Join(dir, "logs/p/processed/1.jsonl"))
	loaded(t, s, "a")
}

func TestShutdownLoadsWhatIsThere(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	o := options(dir, s)
	o.Limits.MaxDelay = time.Hour
	e := start(t, o)
	put(t, dir, "logs/p/1.jsonl.open", line("a"))
	loaded(t, s, "a") // the next batch is due in an hour
	put(t, dir, "logs/p/1.jsonl.open", line("b"))
	put(t, dir, "logs/new/1.jsonl.open", line("c"))
	stop(t, e)
	assert.ElementsMatch(t, []string{"a", "b", "c"}, s.uids())
	require.NoError(t, e.Shutdown(context.Background(), time.Hour), "twice")
}

func TestShutdownDoesNotWaitForAStoreThatFails(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.answer(errors.New("away"), false)
	put(t, dir, "logs/p/1.jsonl.open", line("a"))
	o := options(dir, s)
	o.Limits.RetryMin, o.Limits.RetryMax = time.Hour, time.Hour
	e := start(t, o)
	eventually(t, func() bool { return len(s.tries()) == 1 }, "tried")
	begin := time.Now()
	require.NoError(t, e.Shutdown(context.Background(), time.Hour))
	assert.Less(t, time.Since(begin), time.Minute)
	s.answer(nil, false)
	start(t, options(dir, s))
	loaded(t, s, "a")
}

func TestShutdownEndsADeliveryThatHangs(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	put(t, dir, "logs/p/1.jsonl.open", line("a"))
	o := options(dir, s)
	hangs := make(chan struct{})
	o.Sources[0].Deliver = func(ctx context.Context, _ string, _ ingest.Unit) error {
		close(hangs)
		<-ctx.Done()
		return ctx.Err()
	}
	e := start(t, o)
	<-hangs
	require.NoError(t, e.Shutdown(context.Background(), 10*time.Millisecond))
}

func TestASecondEngineOnTheFolderIsRefused(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	e := start(t, options(dir, s))
	_, err := ingest.Start(options(dir, s))
	require.ErrorContains(t, err, fmt.Sprintf("in use by process %d", os.Getpid()))
	elsewhere := options(dir, s)
	elsewhere.StatePath = t.TempDir()
	_, err = ingest.Start(elsewhere)
	require.ErrorContains(t, err, "in use by process")
	stop(t, e)
	e = start(t, elsewhere)
	stop(t, e)
}

func TestAFolderThatCannotBeUsedIsAStartError(t *testing.T) {
	dir := t.TempDir()
	file := put(t, dir, "file", "")
	_, err := ingest.Start(options(filepath.Join(file, "jsonl"), newStore()))
	require.ErrorContains(t, err, "path:")
	require.ErrorContains(t, err, "configure another")
}

func TestFreshness(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	o := options(dir, s)
	o.Limits.MaxDelay = 250 * time.Millisecond
	start(t, o)
	for i := range 5 {
		uid := fmt.Sprint("f", i)
		put(t, dir, fmt.Sprintf("logs/p%d/1.jsonl.open", i%2), line(uid)) // folders that were not there, and files
		eventually(t, func() bool { return len(s.uids()) == i+1 }, "noticed without a poll")
	}
}

func TestManyProjectsAndFiles(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	var want []string
	for p := range 300 {
		for f := range 5 {
			text, uids := lines(fmt.Sprintf("%d-%d-", p, f), 2)
			age(t, put(t, dir, fmt.Sprintf("logs/p%d/%d.jsonl", p, f), text))
			want = append(want, uids...)
		}
	}
	e := start(t, options(dir, s))
	loaded(t, s, want...)
	eventually(t, func() bool { return e.Pending("logs").Files == 0 }, "all moved")
	assert.Less(t, len(s.tries()), 12, "many small files are one batch")
}
