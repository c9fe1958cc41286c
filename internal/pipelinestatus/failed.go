// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package pipelinestatus

import (
	"context"
	"errors"
	"time"
)

// FailedFile is a file that was set aside in a folder failed/, as docs/format/ingest-state.md has it.
type FailedFile struct {
	// ID is the component.ID of who set it aside.
	ID string
	// File is its path below the folder of all segments, without "failed": `{type}/{project folder}/{file name}`. With ID it names the file.
	File string
	// Signal is traces, logs or metrics; Type the type's folder.
	Signal, Type string
	// Project is the project's id as far as the folder's name says it. Sure is false when the name was cut, or is none that we write: then only who
	// may see every project may see the file.
	Project string
	Sure    bool
	// Whole is a segment that must not be loaded (any further); otherwise these are lines and records that were cut out of one.
	Whole bool
	// Segment is the id of the segment that it was, or was a part of.
	Segment string
	// Bytes of the file; 0 when there was nothing to keep, and only reasons are there.
	Bytes int64
	// Time is when it was set aside.
	Time time.Time
}

// FailedReason is why a line, a record or a file was set aside.
type FailedReason struct {
	// Line is the number, from 1, of the line in the file; 0 for all of it, or when there was nothing to keep.
	Line int
	// From and To is where it stood in its segment, in bytes. Of a whole segment, From is how far it was loaded.
	From, To int64
	// Kind is one of unreadable, too_long, rejected, refused, changed, file.
	Kind string
	// Reason is for a human.
	Reason string
	// Token is the deduplication token under which the store refused it; "" when it was never sent.
	Token string
}

// FailedFiles is what a component that sets files aside offers. It is safe for concurrent use.
type FailedFiles interface {
	// List returns all of them, in no order.
	List(ctx context.Context) ([]FailedFile, error)
	// Reasons returns the first of the reasons of a file, at most so many, and how many there are. A file without any has none.
	Reasons(ctx context.Context, file string, most int) (reasons []FailedReason, all int, err error)
	// PutBack moves a file to where its segments are, so that it is loaded (again). Errors are ErrNoFailedFile, *PutBackError, that of ctx, or
	// a fault.
	PutBack(ctx context.Context, file string) error
}

// ErrNoFailedFile is the error for a file that is not in failed/ (any more).
var ErrNoFailedFile = errors.New("there is no such file in failed/")

// PutBackError says why a file stays where it is.
type PutBackError struct {
	// Reason is for a human, and says what to do.
	Reason string
	// Later says that it may work in a moment.
	Later bool
}

func (e *PutBackError) Error() string { return e.Reason }

type failedSource struct {
	id    string
	files FailedFiles
}

// ReportFailed implements Reporter.
func (r *Registry) ReportFailed(id string, files FailedFiles) (forget func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return add(r, &r.failed, func() failedSource { return failedSource{id, files} })
}

// FailedFiles asks all that set files aside, in no order.
func (r *Registry) FailedFiles(ctx context.Context) ([]FailedFile, error) {
	var all []FailedFile
	for _, source := range ask(r, &r.failed) {
		files, err := source.files.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			f.ID = source.id
			all = append(all, f)
		}
	}
	return all, nil
}

// FailedReasons is FailedFiles.Reasons of the component with this id.
func (r *Registry) FailedReasons(ctx context.Context, id, file string, most int) (reasons []FailedReason, all int, err error) {
	err = r.ofFailed(id, func(files FailedFiles) error {
		reasons, all, err = files.Reasons(ctx, file, most)
		return err
	})
	return reasons, all, err
}

// PutBack is FailedFiles.PutBack of the component with this id.
func (r *Registry) PutBack(ctx context.Context, id, file string) error {
	return r.ofFailed(id, func(files FailedFiles) error { return files.PutBack(ctx, file) })
}

// ofFailed asks those of an id, a receiver of each signal, until one knows the file.
func (r *Registry) ofFailed(id string, do func(FailedFiles) error) error {
	for _, source := range ask(r, &r.failed) {
		if source.id != id {
			continue
		}
		if err := do(source.files); !errors.Is(err, ErrNoFailedFile) {
			return err
		}
	}
	return ErrNoFailedFile
}
