// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// maxRecord bounds one record of a journal when it is read: a manifest of 10,000 cuts has about 3 MB.
const maxRecord = 256 << 20

// stateVersion is written, and read with those before it. Version 2 knows parts, which a release that does not
// know them would send again as a whole.
const stateVersion = 2

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is one record of the journal; exactly one field is set.
type entry struct {
	Snapshot *snapshot    `json:"snapshot,omitempty"`
	Manifest *Manifest    `json:"manifest,omitempty"`
	Unit     *unitOutcome `json:"unit,omitempty"`
	Part     *part        `json:"part,omitempty"`
	Done     uint64       `json:"done,omitempty"`
	Forget   []Key        `json:"forget,omitempty"`
}

// snapshot is the first record of a journal: all that the journals before it said.
type snapshot struct {
	Version  int            `json:"version"`
	Instance string         `json:"instance"`
	Seq      uint64         `json:"seq"`
	Offsets  map[Key]int64  `json:"offsets"`
	Pending  *Manifest      `json:"pending,omitempty"`
	Units    []*unitOutcome `json:"units,omitempty"`
	Parts    []*part        `json:"parts,omitempty"`
}

// unitOutcome says that a unit of the pending batch is settled and must not be sent again.
type unitOutcome struct {
	Seq  uint64 `json:"seq"`
	Unit int    `json:"unit"`
	// Refused is the reason for which the unit went to failed/; empty when it was stored.
	Refused string `json:"refused,omitempty"`
}

// CorruptError says that a state file is damaged where it was durable, so that what it said can't be known.
type CorruptError struct {
	File   string
	Offset int64
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %v; restore it, or delete its folder: "+
		"pending segments are then loaded from their beginning, which doubles what was loaded of them before", e.File, e.Offset, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// journal is the durable memory of one signal, a log of records behind a snapshot. docs/format/ingest-state.md
// specifies it. It is used by one goroutine.
//
// Which write is synced, and why no other needs to be:
//   - A manifest, before its batch is sent: without it the bytes would be cut differently after a power
//     failure, under another token, and what had arrived would be doubled.
//   - A refused unit, before its lines go to failed/: the other decision would load what is also in failed/.
//   - Everything, before a segment is moved away or deleted (see sync): offsets have to be known first.
//   - An acknowledgement alone is not: when it is lost, the same batch is sent again under the same token,
//     and the store drops it. A killed process loses nothing here, only a power failure does.
type journal struct {
	d      disk
	dir    string
	limit  int64 // size above which the journal starts again with a snapshot
	state  snapshot
	file   *diskFile
	gen    uint64
	size   int64
	start  int64 // size of the snapshot
	broken bool  // a write failed: what the file holds is unknown, so it must be replaced
	dirty  bool  // written since the last sync
}

func journalName(gen uint64) string { return fmt.Sprintf("%010d.journal", gen) }

// openJournal reads the state of dir, or begins it.
func openJournal(d disk, dir string, limit int64) (*journal, error) {
	j := &journal{d: d, dir: dir, limit: limit}
	entries, err := d.readDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries { // in order of names, so the last one is the newest
		var gen uint64
		if n, err := fmt.Sscanf(e.Name(), "%d.journal", &gen); err != nil || n != 1 || e.Name() != journalName(gen) {
			continue
		}
		j.gen = gen
	}
	if j.gen == 0 {
		j.state = snapshot{Version: stateVersion, Instance: strings.ReplaceAll(uuid.NewString(), "-", "")[:16], Offsets: map[Key]int64{}}
	} else if err := j.load(filepath.Join(dir, journalName(j.gen))); err != nil {
		return nil, err
	}
	// A new file at every start: what a torn tail holds never has to be written over.
	if err := j.rotate(); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if name := e.Name(); (strings.HasSuffix(name, ".journal") && name != journalName(j.gen)) || strings.HasSuffix(name, ".journal.tmp") {
			_ = os.Remove(filepath.Join(dir, name)) // superseded; left over, it is removed at the next start
		}
	}
	return j, nil
}

func (j *journal) load(path string) error {
	f, err := j.d.open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	state, err := readJournal(f)
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		corrupt.File = path
	}
	j.state = state
	return err
}

// readJournal replays a journal. A bad record ends it, as a torn tail does: nothing behind the last sync had
// any effect that a repetition would not have. But an acknowledgement behind the bad record, of a manifest
// that is not known, shows that a manifest was synced there: then the journal was damaged later, and
// going on would double data.
func readJournal(r io.Reader) (snapshot, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var state snapshot
	var off int64
	first := true
	for {
		line, err := readRecord(in)
		if errors.Is(err, io.EOF) && len(line) == 0 && !first {
			return state, nil
		}
		e, derr := decodeEntry(line)
		if derr == nil && err == nil {
			derr = state.apply(e, first)
		} else if derr == nil {
			derr = fmt.Errorf("torn record: %w", err)
		}
		if derr != nil {
			if first || errors.Is(derr, errContradiction) || synced(in) {
				return state, &CorruptError{Offset: off, Err: derr}
			}
			return state, nil
		}
		first = false
		off += int64(len(line)) + 1
	}
}

// synced reports whether the rest of a journal holds an acknowledgement.
func synced(in *bufio.Reader) bool {
	for {
		line, err := readRecord(in)
		if e, derr := decodeEntry(line); derr == nil && (e.Done != 0 || e.Unit != nil || e.Part != nil) {
			return true
		}
		if err != nil {
			return false
		}
	}
}

func readRecord(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		case len(line) > maxRecord:
			return line, errors.New("record too long")
		}
	}
}

// encodeEntry returns the line of a record: eight hex digits of CRC-32C, a space, JSON, a newline.
func encodeEntry(e entry) ([]byte, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(payload, castagnoli), payload), nil
}

func decodeEntry(line []byte) (entry, error) {
	var e entry
	if len(line) < 9 || line[8] != ' ' {
		return e, errors.New("not a record")
	}
	var sum [4]byte
	if _, err := hex.Decode(sum[:], line[:8]); err != nil {
		return e, fmt.Errorf("not a record: %w", err)
	}
	if got := fmt.Sprintf("%08x", crc32.Checksum(line[9:], castagnoli)); got != string(bytes.ToLower(line[:8])) {
		return e, errors.New("checksum does not match")
	}
	if err := json.Unmarshal(line[9:], &e); err != nil {
		return e, err
	}
	for _, m := range []*Manifest{e.Manifest, e.pending()} {
		if m != nil {
			if err := m.check(); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

func (e *entry) pending() *Manifest {
	if e.Snapshot == nil {
		return nil
	}
	return e.Snapshot.Pending
}

// errContradiction says that whole records do not fit together: no crash can leave that.
var errContradiction = errors.New("records contradict each other")

// apply changes the state as a record says.
func (s *snapshot) apply(e entry, first bool) error {
	switch {
	case first != (e.Snapshot != nil):
		return fmt.Errorf("%w: a snapshot stands at the beginning, and only there", errContradiction)
	case e.Snapshot != nil:
		if e.Snapshot.Version < 1 || e.Snapshot.Version > stateVersion {
			return fmt.Errorf("%w: version %d is not known to this release", errContradiction, e.Snapshot.Version)
		}
		*s = *e.Snapshot
		s.Version = stateVersion
		if s.Offsets == nil {
			s.Offsets = map[Key]int64{}
		}
	case e.Manifest != nil:
		if s.Pending != nil || e.Manifest.Seq <= s.Seq {
			return fmt.Errorf("%w: batch %d begins while %d is the last", errContradiction, e.Manifest.Seq, s.Seq)
		}
		s.Pending, s.Units, s.Parts, s.Seq = e.Manifest, nil, nil, e.Manifest.Seq
	case e.Unit != nil:
		if s.Pending == nil || s.Pending.Seq != e.Unit.Seq {
			return fmt.Errorf("%w: a unit of batch %d, which is not pending", errContradiction, e.Unit.Seq)
		}
		s.Units = append(s.Units, e.Unit)
	case e.Part != nil:
		if s.Pending == nil || s.Pending.Seq != e.Part.Seq {
			return fmt.Errorf("%w: a part of batch %d, which is not pending", errContradiction, e.Part.Seq)
		}
		s.Parts = append(s.Parts, e.Part)
	case e.Done != 0:
		if s.Pending == nil || s.Pending.Seq != e.Done {
			return fmt.Errorf("%w: batch %d is acknowledged, which is not pending", errContradiction, e.Done)
		}
		for _, c := range s.Pending.Cuts {
			s.Offsets[c.File] = c.To
		}
		s.Pending, s.Units, s.Parts = nil, nil, nil
	default:
		for _, k := range e.Forget {
			delete(s.Offsets, k)
		}
	}
	return nil
}

// commit appends a record, makes it durable, and only then changes the state.
func (j *journal) commit(e entry) error {
	if err := j.append(e); err != nil {
		return err
	}
	if err := j.sync(); err != nil {
		return err
	}
	return j.state.apply(e, false)
}

// note changes the state and appends a record that may get lost. An error says that it is not written yet; the
// next write will do that.
func (j *journal) note(e entry) error {
	if err := j.state.apply(e, false); err != nil {
		return err
	}
	err := j.append(e)
	if err != nil {
		j.broken = true
	}
	return err
}

// append writes a record. After an error of the file the record may be in it or not, so the next write
// replaces the whole file by one that begins with the state.
func (j *journal) append(e entry) error {
	if j.broken || (j.size > j.limit && j.size > 4*j.start) {
		if err := j.rotate(); err != nil {
			return err
		}
		if e.Manifest == nil && e.Unit == nil && e.Part == nil {
			return nil // noted: the state already holds it, and now the file too
		}
	}
	line, err := encodeEntry(e)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(line); err != nil {
		j.broken = true
		return err
	}
	j.dirty = true
	j.size += int64(len(line))
	return nil
}

// sync makes all that was written durable.
func (j *journal) sync() error {
	if j.broken {
		return j.rotate()
	}
	if !j.dirty {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		j.broken = true // after a failed sync the kernel may have dropped the pages: never trust the file again
		return err
	}
	j.dirty = false
	return nil
}

// rotate replaces the journal by one that begins with the current state.
func (j *journal) rotate() error {
	s := j.state
	s.Offsets = maps.Clone(s.Offsets)
	line, err := encodeEntry(entry{Snapshot: &s})
	if err != nil {
		return err
	}
	name := filepath.Join(j.dir, journalName(j.gen+1))
	if err := j.d.writeFileSync(name, line); err != nil {
		return err
	}
	f, err := j.d.openFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if j.file != nil {
		_ = j.file.Close()
		_ = os.Remove(j.file.Name()) // superseded: the newest counts
	}
	j.file, j.gen, j.size, j.start = f, j.gen+1, int64(len(line)), int64(len(line))
	j.broken, j.dirty = false, false
	return nil
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := j.sync()
	return errors.Join(err, j.file.Close())
}
