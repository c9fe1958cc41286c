// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func manifest(seq uint64, to int64) *Manifest {
	return &Manifest{Seq: seq, Token: "t", MaxLine: 10, Cuts: []Cut{{File: "logs/p/1", From: to - 10, To: to, Sum: 1<<63 + seq}}}
}

func open(t testing.TB, dir string, limit int64) *journal {
	t.Helper()
	j, err := openJournal(disk{}, dir, limit)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.close() })
	return j
}

func TestJournalRemembers(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 1<<20)
	require.NoError(t, j.commit(entry{Manifest: manifest(1, 10)}))
	require.NoError(t, j.note(entry{Done: 1}))
	require.NoError(t, j.commit(entry{Manifest: manifest(2, 20)}))
	require.NoError(t, j.commit(entry{Unit: &unitOutcome{Seq: 2, Unit: 1, Refused: "why"}}))
	require.NoError(t, j.close())

	again := open(t, dir, 1<<20)
	assert.Equal(t, j.state, again.state)
	assert.Equal(t, manifest(2, 20), again.state.Pending)
	assert.Equal(t, map[Key]int64{"logs/p/1": 10}, again.state.Offsets)
	require.NoError(t, again.note(entry{Done: 2}))
	require.NoError(t, again.note(entry{Forget: []Key{"logs/p/1"}}))
	assert.Empty(t, again.state.Offsets)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1, "the one before is removed")
}

func TestJournalStartsAgainWhenItIsLong(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 1000)
	for i := range uint64(200) {
		require.NoError(t, j.commit(entry{Manifest: manifest(i+1, int64(i+1)*10)}))
		require.NoError(t, j.note(entry{Done: i + 1}))
	}
	assert.Less(t, j.size, int64(3000))
	require.NoError(t, j.close())
	assert.Equal(t, j.state, open(t, dir, 1000).state)
}

// A crash may cut the file anywhere behind the last sync: whatever is left is a state that it once had.
func TestJournalCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 1<<20)
	name := j.file.Name()
	states := []snapshot{j.state}
	sizes := []int64{j.size}
	for _, e := range []entry{{Manifest: manifest(1, 10)}, {Done: 1}, {Manifest: manifest(2, 20)}, {Done: 2}, {Forget: []Key{"logs/p/1"}}} {
		require.NoError(t, j.commit(e))
		s := j.state
		s.Offsets = map[Key]int64{}
		for k, v := range j.state.Offsets {
			s.Offsets[k] = v
		}
		states, sizes = append(states, s), append(sizes, j.size)
	}
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	for n := sizes[0]; n <= int64(len(data)); n++ {
		want := states[0]
		for i, size := range sizes {
			if n >= size-1 { // the newline itself may be missing… then the record is torn
				if n >= size {
					want = states[i]
				}
			}
		}
		for _, tail := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
			got, err := readJournal(bytes.NewReader(append(append([]byte(nil), data[:n]...), tail...)))
			require.NoError(t, err, n)
			if len(tail) == 0 || n < int64(len(data)) {
				assert.Equal(t, want.Offsets, got.Offsets, n)
				assert.Equal(t, want.Pending, got.Pending, n)
			}
		}
	}
}

func TestJournalDamagedWhereItWasDurableIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 1<<20)
	first := j.size
	for i := range uint64(3) {
		require.NoError(t, j.commit(entry{Manifest: manifest(i+1, int64(i+1)*10)}))
		require.NoError(t, j.note(entry{Done: i + 1}))
	}
	name := j.file.Name()
	require.NoError(t, j.close())
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	for _, at := range []int64{5, first + 40} {
		bad := bytes.Clone(data)
		bad[at] ^= 1
		require.NoError(t, os.WriteFile(name, bad, 0o600))
		_, err = openJournal(disk{}, dir, 1<<20)
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt)
		assert.Equal(t, name, corrupt.File)
		require.ErrorContains(t, err, "restore it, or delete its folder")
	}
}

func TestJournalGoesOnInANewFileAfterAFailedWrite(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, 1<<20)
	require.NoError(t, j.commit(entry{Manifest: manifest(1, 10)}))
	require.NoError(t, j.file.Close()) // every write fails from here on
	require.Error(t, j.note(entry{Done: 1}))
	require.NoError(t, j.commit(entry{Manifest: manifest(2, 20)}))
	require.NoError(t, j.close())
	again := open(t, dir, 1<<20)
	assert.Equal(t, manifest(2, 20), again.state.Pending)
	assert.Equal(t, map[Key]int64{"logs/p/1": 10}, again.state.Offsets)
}

func TestJournalOfANewerVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	line, err := encodeEntry(entry{Snapshot: &snapshot{Version: 3, Instance: "x"}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, journalName(7)), line, 0o600))
	_, err = openJournal(disk{}, dir, 1<<20)
	require.ErrorContains(t, err, "version 3")
}

func TestAKeyCannotLeadOutOfTheFolder(t *testing.T) {
	for _, k := range []Key{"", "logs", "logs/p", "logs/../x", "../p/x", "logs/p/a/b", "logs/p/..", "logs//x", "logs/p/a\x00", `logs/p\..\x/1`} {
		require.Error(t, k.check(), "%q", k)
	}
	require.NoError(t, Key("logs/%2E%2E/20260101T000000.000Z_x").check())
}

// FuzzJournal: whatever stands in a journal, reading it ends, and what is believed of it can be written and read again.
func FuzzJournal(f *testing.F) {
	var seed []byte
	for _, e := range []entry{
		{Snapshot: &snapshot{Version: 1, Instance: "i", Offsets: map[Key]int64{"logs/p/0": 5}}},
		{Manifest: manifest(1, 10)}, {Unit: &unitOutcome{Seq: 1}}, {Done: 1}, {Forget: []Key{"logs/p/0"}}, {Manifest: manifest(2, 20)},
	} {
		line, err := encodeEntry(e)
		require.NoError(f, err)
		seed = append(seed, line...)
	}
	var payloads []byte
	for line := range bytes.Lines(seed) {
		payloads = append(payloads, line[9:]...)
	}
	f.Add(payloads, true)
	f.Add(seed, false)
	f.Add(seed[:len(seed)-7], false)
	f.Add([]byte("00000000 {}\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, sums bool) {
		if sums { // give every line the right checksum, so that the records behind it are reached
			var with []byte
			for line := range bytes.Lines(data) {
				line = bytes.TrimSuffix(line, []byte("\n"))
				with = fmt.Appendf(with, "%08x %s\n", crc32.Checksum(line, castagnoli), line)
			}
			data = with
		}
		state, err := readJournal(bytes.NewReader(data))
		if err != nil {
			return
		}
		if state.Pending != nil {
			require.NoError(t, state.Pending.check())
		}
		line, err := encodeEntry(entry{Snapshot: &state})
		require.NoError(t, err)
		again, err := readJournal(bytes.NewReader(line))
		require.NoError(t, err)
		assert.Equal(t, state, again)
	})
}
