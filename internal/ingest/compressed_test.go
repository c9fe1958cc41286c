// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/segment"
)

// frame compresses lines as the exporter does: a frame that says how large its content is, with a checksum.
func frame(t testing.TB, text string) string {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer enc.Close()
	return string(enc.EncodeAll([]byte(text), nil))
}

// streamed compresses as a tool in a pipe does: one frame that does not say how large its content is.
func streamed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	enc, err := zstd.NewWriter(&b)
	require.NoError(t, err)
	_, err = io.WriteString(enc, text)
	require.NoError(t, err)
	require.NoError(t, enc.Close())
	return b.String()
}

func TestFollowsACompressedSegmentFrameByFrame(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	start(t, options(dir, s))
	open := put(t, dir, "logs/p/1.jsonl.zst.open", frame(t, line("a")+line("b")))
	loaded(t, s, "a", "b")
	next := frame(t, line("c"))
	put(t, dir, "logs/p/1.jsonl.zst.open", next[:len(next)/2])
	put(t, dir, "logs/q/1.jsonl.open", line("other"))
	loaded(t, s, "a", "b", "other") // half a frame is nothing
	put(t, dir, "logs/p/1.jsonl.zst.open", next[len(next)/2:])
	loaded(t, s, "a", "b", "other", "c")
	// Its writer puts small frames together: another file, with the same lines, under the same name.
	put(t, dir, "logs/p/tmp", frame(t, line("a")+line("b")+line("c")))
	require.NoError(t, os.Rename(filepath.Join(dir, "logs/p/tmp"), open))
	require.NoError(t, os.Rename(open, strings.TrimSuffix(open, ".open")))
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl.zst")) }, "moved")
	loaded(t, s, "a", "b", "other", "c")
}

func TestForeignCompressedFilesOfAnySize(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	text, want := lines("x", 20_000) // many turns and batches
	more, wantMore := lines("y", 3000)
	age(t, put(t, dir, "logs/p/1.jsonl.zst", streamed(t, text)))
	age(t, put(t, dir, "logs/q/1.jsonl.zst", frame(t, more[:len(more)-1]))) // without a newline at the end
	age(t, put(t, dir, "logs/r/1.jsonl.zst", ""))
	start(t, options(dir, s))
	all := append(slices.Clone(want), wantMore...)
	eventually(t, func() bool { return len(s.uids()) >= len(all) }, "loaded")
	eventually(t, func() bool {
		return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl.zst")) && isFile(filepath.Join(dir, "logs/q/processed/1.jsonl.zst")) &&
			isFile(filepath.Join(dir, "logs/r/processed/1.jsonl.zst"))
	}, "moved")
	assert.Equal(t, slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(s.uids())))
	var inOrder []string
	for _, uid := range s.uids() {
		if uid[0] == 'x' {
			inOrder = append(inOrder, uid)
		}
	}
	assert.Equal(t, want, inOrder)
}

func TestABatchOfCompressedSegmentsIsRepeatedAsItWas(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	s.answer(errors.New("time-out"), true)
	open := put(t, dir, "logs/p/1.jsonl.zst.open", frame(t, line("a"))+frame(t, line("b")+"{bad\n"))
	e := start(t, options(dir, s))
	eventually(t, func() bool { return len(s.tries()) > 2 }, "repeated")
	stop(t, e)
	// The frames were put together, and there are new lines.
	put(t, dir, "logs/p/tmp", frame(t, line("a")+line("b")+"{bad\n"+line("c")))
	require.NoError(t, os.Rename(filepath.Join(dir, "logs/p/tmp"), open))
	s.answer(nil, false)
	start(t, options(dir, s))
	loaded(t, s, "a", "b", "c")
	for token, what := range s.sent() {
		assert.Len(t, what, 1, "one content under %s", token)
	}
	eventually(t, func() bool { return s.count(s.failed, "unreadable") == 1 }, "in failed/")
	assert.Equal(t, "{bad\n", read(t, filepath.Join(dir, "logs/p/failed/1+0.jsonl")))
}

// What stands before the damage is loaded; the file goes to failed/, and mended and put back it goes on behind that.
func TestADamagedCompressedSegmentIsNotLoadedTwice(t *testing.T) {
	for name, damage := range map[string]func(head, tail string) string{
		"torn":     func(head, tail string) string { return head + tail[:len(tail)-3] },
		"garbage":  func(head, tail string) string { return head + "garbage" + tail },
		"checksum": func(head, tail string) string { return head + tail[:len(tail)-1] + string(tail[len(tail)-1]^1) },
		"block": func(head, tail string) string {
			return head + tail[:len(tail)/2] + "\xff\xff\xff" + tail[len(tail)/2+3:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := t.TempDir(), newStore()
			head, want := lines("a", 500)
			tail, wantTail := lines("b", 500)
			whole := frame(t, head) + frame(t, tail)
			age(t, put(t, dir, "logs/p/1.jsonl.zst", damage(frame(t, head), frame(t, tail))))
			age(t, put(t, dir, "logs/p/2.jsonl", line("other")))
			e := start(t, options(dir, s))
			failed := filepath.Join(dir, "logs/p/failed/1.jsonl.zst")
			eventually(t, func() bool { return isFile(failed) }, "in failed/")
			eventually(t, func() bool { return len(s.uids()) >= len(want)+1 }, "loaded")
			assert.Contains(t, read(t, filepath.Join(dir, "logs/p/failed/1.reasons.ndjson")), "frame")
			assert.Subset(t, s.uids(), append(want, "other"))
			assert.Equal(t, 1, s.count(s.failed, "file"))
			stop(t, e) // the offset survives that

			start(t, options(dir, s))
			require.NoError(t, os.WriteFile(failed, []byte(whole), 0o600))
			age(t, failed)
			require.NoError(t, os.Rename(failed, filepath.Join(dir, "logs/p/1.jsonl.zst")))
			eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl.zst")) }, "moved")
			loaded(t, s, append(append(want, wantTail...), "other")...)
		})
	}
}

func TestCompressedGarbageCostsItselfOnly(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	bomb := frame(t, line("before")+strings.Repeat("x", 64<<20)+"\n"+line("after"))
	age(t, put(t, dir, "logs/p/1.jsonl.zst", "not zstd at all"))
	age(t, put(t, dir, "logs/p/2.jsonl.zst", bomb))
	age(t, put(t, dir, "logs/p/3.jsonl", "\x28\xb5\x2f\xfd binary in a plain file\n"+line("plain")))
	start(t, options(dir, s))
	loaded(t, s, "before", "after", "plain")
	eventually(t, func() bool { return isFile(filepath.Join(dir, "logs/p/failed/1.jsonl.zst")) }, "moved to failed/")
	assert.Equal(t, 1, s.count(s.failed, "too_long"))
	assert.Equal(t, 1, s.count(s.failed, "unreadable"))
}

func TestCompressedAndPlainOfOneNameAreNotLoadedTwice(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	age(t, put(t, dir, "logs/p/1.jsonl", line("a")))
	age(t, put(t, dir, "logs/p/1.jsonl.zst", frame(t, line("a"))))
	start(t, options(dir, s))
	eventually(t, func() bool {
		return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) && isFile(filepath.Join(dir, "logs/p/failed/1.jsonl.zst"))
	}, "the second one in failed/")
	loaded(t, s, "a")
}

func TestFoldersOfTheReplacedSystem(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	record := func(kind, uid string) string {
		return fmt.Sprintf(`{"type":"%s","data":{"id":"x","level":"info","message":"%s","timestamp":"2026-01-01T00:00:00.000Z"}}`, kind, uid) + "\n"
	}
	age(t, put(t, dir, "log/p/20260101T000000Z_0123456789ab.jsonl", record("log", "singular")+
		`{"level":"warn","message":"flat","timestamp":"2026-01-01T00:00:00.000Z"}`+"\n"))
	age(t, put(t, dir, "logs/p/20260101T000000Z_0123456789ab.jsonl", record("log", "plural")))
	age(t, put(t, dir, "score/p/1.jsonl", `{"type":"score","data":{"name":"s","value":0,"timestamp":"2026-01-01T00:00:00.000Z"}}`+"\n"))
	start(t, options(dir, s))
	loaded(t, s, "singular", "flat", "plural", "")
	eventually(t, func() bool { return isFile(filepath.Join(dir, "log/p/processed/20260101T000000Z_0123456789ab.jsonl")) }, "moved beside it")
	put(t, dir, "log/new/1.jsonl.open", record("log", "watched")) // the folder is watched as the others are
	loaded(t, s, "singular", "flat", "plural", "", "watched")
}

// The writer and the ingest at once on one folder: appends, rotation, putting together of frames, moves; each record once.
func TestTheWriterCompressesWhileTheIngestFollows(t *testing.T) {
	for name, o := range map[string]segment.WriterOptions{
		"zstd":  {Zstd: true},
		"group": {Zstd: true, Group: true},
		"plain": {},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := t.TempDir(), newStore()
			o.Dir, o.Rotation = dir, segment.Rotation{MaxBytes: 2 << 10, MaxRecords: 40, MaxAge: time.Minute, Idle: time.Minute}
			w, err := segment.OpenWriter(o)
			require.NoError(t, err)
			e := start(t, options(dir, s))
			var want []string
			for i := range 400 {
				a, b := fmt.Sprintf("%d-a", i), fmt.Sprintf("%d-b", i)
				want = append(want, a, b)
				require.NoError(t, w.Append(context.Background(), []segment.Part{
					{Type: segment.Logs, Project: fmt.Sprint("p", i%3), Data: []byte(line(a)), Records: 1},
					{Type: segment.Logs, Project: "q", Data: []byte(line(b)), Records: 1},
				}))
				if i == 200 { // in between, the ingest is started again
					stop(t, e)
					e = start(t, options(dir, s))
				}
			}
			require.NoError(t, w.Close())
			loaded(t, s, want...)
			eventually(t, func() bool {
				left, _ := filepath.Glob(filepath.Join(dir, "logs", "*", "*.jsonl*"))
				return len(left) == 0
			}, "all moved")
			loaded(t, s, want...)
			assert.Empty(t, s.failed)
		})
	}
}

func TestRetainDeletesCompressedSegments(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	for i := range 4 {
		age(t, put(t, dir, fmt.Sprintf("log/p/%d.jsonl.zst", i), frame(t, line(fmt.Sprint(i)))))
	}
	o := options(dir, s)
	o.Retain = ingest.Retain{MaxAge: time.Second, Every: 10 * time.Millisecond}
	start(t, o)
	loaded(t, s, "0", "1", "2", "3")
	eventually(t, func() bool {
		left, _ := filepath.Glob(filepath.Join(dir, "log/p/processed/*"))
		return len(left) == 0 && s.retained() == 4
	}, "deleted")
}
