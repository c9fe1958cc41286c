// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/tailrace/tailrace/internal/segment"
)

// Key names a segment in all of its states: `{type}/{project folder}/{segment id}`.
type Key string

func keyOf(t segment.Type, project, id string) Key {
	return Key(string(t) + "/" + project + "/" + id)
}

// split returns the parts of a key; they are checked when a key comes from a file.
func (k Key) split() (t segment.Type, project, id string) {
	parts := strings.SplitN(string(k), "/", 3)
	if len(parts) != 3 {
		return "", "", ""
	}
	return segment.Type(parts[0]), parts[1], parts[2]
}

// Folder is the name of the type's folder.
func (k Key) Folder() string { t, _, _ := k.split(); return string(t) }

// Project is the name of the project's folder.
func (k Key) Project() string { _, p, _ := k.split(); return p }

// ID is the segment's id.
func (k Key) ID() string { _, _, id := k.split(); return id }

// check refuses a key that would lead out of the base folder.
func (k Key) check() error {
	t, project, id := k.split()
	for _, part := range []string{string(t), project, id} {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") {
			return fmt.Errorf("not a segment's key: %q", string(k))
		}
	}
	return nil
}

// dir is the folder of the segment below base.
func (k Key) dir(base string) string {
	t, project, _ := k.split()
	return filepath.Join(base, string(t), project)
}

// Cut is a range of whole lines of one segment. Its offsets count the bytes of the lines, also of a compressed segment.
type Cut struct {
	File Key   `json:"file"`
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Sum is the hash of the cut's lines, see fold.
	Sum uint64 `json:"sum,string"`
}

// Manifest freezes a batch before it is sent for the first time: what it consists of and under which
// token it goes. Everything that decides what the batch holds is in it, so that a repetition after a
// crash does not depend on the configuration of that day.
type Manifest struct {
	Seq   uint64 `json:"seq"`
	Token string `json:"token"`
	// MaxLine is the limit above which a line of the batch was passed over.
	MaxLine int `json:"max_line"`
	// Plan is how the batch is cut into units, in the form of its codec; empty when it goes as one.
	Plan json.RawMessage `json:"plan,omitempty"`
	Cuts []Cut           `json:"cuts"`
	// At is when it was frozen, in seconds since 1970; 0 when an older release did it.
	At int64 `json:"at,omitempty"`
}

// check refuses what can only come from a damaged or foreign file.
func (m *Manifest) check() error {
	var errs []error
	if m.Seq == 0 || m.Token == "" || m.MaxLine <= 0 || len(m.Cuts) == 0 {
		errs = append(errs, errors.New("a manifest needs seq, token, max_line and cuts"))
	}
	for _, c := range m.Cuts {
		errs = append(errs, c.File.check())
		if c.From < 0 || c.To <= c.From {
			errs = append(errs, fmt.Errorf("cut of %q from %d to %d", string(c.File), c.From, c.To))
		}
	}
	return errors.Join(errs...)
}

// bytes is the length of all cuts.
func (m *Manifest) bytes() (n int64) {
	for _, c := range m.Cuts {
		n += c.To - c.From
	}
	return n
}

// fold adds the hash of a line to the hash of the lines before it.
func fold(sum, line uint64) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], sum)
	binary.LittleEndian.PutUint64(b[8:], line)
	return xxhash.Sum64(b[:])
}

// newToken binds a batch to the ingest's own identity, to its place in the sequence, and to its content:
// the store drops whatever comes under a token it knows, so a token must never be used for anything else,
// not even when the state folder is restored from a backup.
func newToken(instance, signal string, seq uint64, cuts []Cut) string {
	h := xxhash.New()
	for _, c := range cuts {
		_, _ = fmt.Fprintf(h, "%s %d %d %d\n", c.File, c.From, c.To, c.Sum)
	}
	return fmt.Sprintf("%s-%s-%d-%016x", instance, signal, seq, h.Sum64())
}

// unitToken is the token of one unit of a batch.
func unitToken(token string, unit, units int) string {
	if units == 1 {
		return token
	}
	return fmt.Sprintf("%s.%d", token, unit)
}
