// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package segment is the JSONL file format of Tailrace: where segments lie, what their names and
// states mean, how they are written durably and read back. docs/format/jsonl.md specifies it.
//
//	{base}/{type}/{project}/{timestamp}_{uuid}.jsonl.open   being written
//	{base}/{type}/{project}/{timestamp}_{uuid}.jsonl        pending: complete, synced, renamed
//	{base}/{type}/{project}/{timestamp}_{uuid}.jsonl.zst    the same, compressed; {…}.jsonl.zst.open while it is written
//	{base}/metrics/{project}/{timestamp}_{uuid}.{table}.jsonl   flat metrics: a file of each table
//	{base}/{type}/{project}/processed/…                     loaded
//	{base}/{type}/{project}/failed/…                        kept for a human, with the reason
package segment

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Type is the first folder below the base path.
type Type string

// The types of segments. Scores are log records whose event name is gen_ai.evaluation.result.
const (
	Spans   Type = "spans"
	Logs    Type = "logs"
	Metrics Type = "metrics"
	Scores  Type = "scores"
)

// Types lists all types in a fixed order.
func Types() []Type { return []Type{Spans, Logs, Metrics, Scores} }

// Suffixes and folders that make the state of a segment visible in `ls`.
const (
	// SuffixPending is the suffix of a complete segment.
	SuffixPending = ".jsonl"
	// SuffixOpen is the suffix of a segment that is being written; no foreign reader takes it up.
	SuffixOpen = ".jsonl.open"
	// SuffixZstd and SuffixZstdOpen are those of compressed segments.
	SuffixZstd     = ".jsonl.zst"
	SuffixZstdOpen = ".jsonl.zst.open"
	// suffixBusy is what the suffixes of open segments have more.
	suffixBusy = ".open"
	// DirProcessed and DirFailed lie beside the segments of their project.
	DirProcessed = "processed"
	DirFailed    = "failed"
)

// maxProjectBytes bounds a project's folder name; file systems end at 255 bytes.
const maxProjectBytes = 200

const timeLayout = "20060102T150405.000Z"

// NewID returns a segment id, `{timestamp}_{uuid v7}`: it is the file's name without suffix, stays the
// same through all states, and sorts by the time of the first record's arrival (UTC, milliseconds).
func NewID(firstRecord time.Time) string {
	return firstRecord.UTC().Format(timeLayout) + "_" + uuid.Must(uuid.NewV7()).String()
}

// Name is what a segment's file name says.
type Name struct {
	// ID is the name without the suffixes of state and compression: it stays the same through all states.
	ID string
	// Table is the table of a flat metrics segment, the part of ID behind the uuid; empty for all others.
	Table string
	// Open says that the segment is being written.
	Open bool
	// Zstd says that it is compressed.
	Zstd bool
}

// Parse takes a file name apart, in any state, with or without its folder. false: it is no segment's.
func Parse(name string) (Name, bool) {
	name = filepath.Base(name)
	var n Name
	name, n.Open = strings.CutSuffix(name, suffixBusy)
	name, n.Zstd = strings.CutSuffix(name, strings.TrimPrefix(SuffixZstd, SuffixPending))
	id, found := strings.CutSuffix(name, SuffixPending)
	if !found || id == "" {
		return Name{}, false
	}
	n.ID = id
	if _, tail, ok := strings.Cut(id, "_"); ok {
		_, n.Table, _ = strings.Cut(tail, ".")
	}
	return n, true
}

// String is the file name.
func (n Name) String() string {
	s := n.ID + SuffixPending
	if n.Zstd {
		s = n.ID + SuffixZstd
	}
	if n.Open {
		s += suffixBusy
	}
	return s
}

// Folders returns the names that a type's folder may have: the one that is written to first, then those of the system
// whose envelope files are read as well. Its `trace` records are about whole traces and belong to the spans.
func Folders(t Type) []string {
	switch t {
	case Spans:
		return []string{"spans", "span", "traces", "trace"}
	case Logs:
		return []string{"logs", "log"}
	case Metrics:
		return []string{"metrics", "metric"}
	case Scores:
		return []string{"scores", "score"}
	}
	return nil
}

// Dir returns the folder of a project's segments of one type.
func Dir(base string, t Type, project string) string {
	return filepath.Join(base, string(t), ProjectFolder(project))
}

// ProjectFolder turns any project id into one safe, reversible-to-read folder name: letters, digits,
// `-`, `_` and inner dots stay, every other byte is percent-encoded, so `..`, `/`, NUL and reserved names
// cannot leave the folder. Above 200 bytes the name is cut and given a hash of the whole id; the full id
// stands in the records. The mapping is injective up to hash collisions.
func ProjectFolder(project string) string {
	if project == "" {
		return "%"
	}
	var b strings.Builder
	for i := range len(project) {
		c := project[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		case c == '.' && i > 0 && i < len(project)-1 && project[i-1] != '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	name := b.String()
	if reservedName(name) {
		name = fmt.Sprintf("%%%02X", name[0]) + name[1:]
	}
	if len(name) > maxProjectBytes {
		sum := sha256.Sum256([]byte(project))
		// '~' is never produced above, so a cut name cannot equal an uncut one.
		hash := "~" + hex.EncodeToString(sum[:16])
		name = strings.TrimRight(name[:maxProjectBytes-len(hash)], "%") + hash
	}
	return name
}

// ProjectOfFolder is the inverse of ProjectFolder for names that were not cut; a cut name is returned as it is.
func ProjectOfFolder(name string) string {
	if name == "%" {
		return ""
	}
	if id, err := url.PathUnescape(name); err == nil {
		return id
	}
	return name
}

// reservedName reports names that a file system or this layout gives a meaning of its own, whatever the case.
func reservedName(name string) bool {
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	switch stem {
	case "con", "prn", "aux", "nul",
		"com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
		"lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
		DirProcessed, DirFailed:
		return true
	}
	return false
}
