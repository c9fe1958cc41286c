// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Errors that callers may want to tell apart. All but ErrTooLarge are worth a retry.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the segment writer is closed")
	// ErrTooLarge is returned for a batch that is larger than WriterOptions.MaxDiskBytes: this one is not worth a retry.
	ErrTooLarge = errors.New("the batch is larger than max_disk_bytes")
	// ErrFull is returned while as much is pending as WriterOptions.MaxDiskBytes allows.
	ErrFull = errors.New("max_disk_bytes is reached")
	// ErrRemoved is returned when somebody has deleted the file that was being written to.
	ErrRemoved = errors.New("the segment was deleted while it was being written")
)

// Part is what one batch brings to one type and project.
type Part struct {
	Type    Type
	Project string // the id, not the folder name
	// Table tells apart the files of one type and project: it stands in their names, `{id}.{table}.jsonl`. Lower case letters
	// and `_`; empty for most.
	Table string
	// Data is whole lines, each ended by '\n'. The Writer does not keep it.
	Data []byte
	// Records is how many records the lines hold.
	Records int
}

// Rotation says when a segment is complete: whatever comes first.
type Rotation struct {
	MaxBytes   int64         // a segment gets longer only if a single batch is
	MaxRecords int64         // likewise
	MaxAge     time.Duration // since the first record
	Idle       time.Duration // since the last record
}

// WriterOptions configures a Writer. Zero values of the bounds mean "no bound".
type WriterOptions struct {
	Dir string
	// Group makes Append wait until the data is on the disk; callers that wait at the same time share an fsync.
	// Without it Append returns when the system has the bytes, and SyncEvery is how often they are forced to the disk.
	Group     bool
	SyncEvery time.Duration
	Rotation  Rotation
	// MaxOpenFiles bounds the open file descriptors. A segment whose descriptor was closed stays open for records.
	// Files in use at one moment (at most maxTogether for each running Append) may exceed it.
	MaxOpenFiles int
	// MaxDiskBytes bounds open and pending segments together.
	MaxDiskBytes int64
	// DropOldest makes room at MaxDiskBytes by deleting the oldest pending segments, instead of refusing with ErrFull.
	DropOldest bool
	// Zstd compresses: every Append adds one zstd frame to each of its files.
	Zstd bool

	FS       FS       // OS() if nil
	Observer Observer // may be nil
	Logger   *zap.Logger
	// OnHealth is called when writing begins to fail (with the reason) and when it works again (nil). May be nil.
	OnHealth func(error)
}

// Observer is told what a Writer does, for metrics. Implementations are safe for concurrent use and do not block.
type Observer interface {
	Fsync(took time.Duration, err error)
	Published(t Type)
	Recovered(t Type)
	WriteFailed(t Type)
	// Dropped is told of a pending segment that was deleted to make room.
	Dropped(t Type, bytes int64)
}

// Stats is a snapshot of a Writer.
type Stats struct {
	OpenSegments int   // being written
	OpenFiles    int   // of those, with a file descriptor
	PendingFiles int64 // open and pending segments, as of the last look at the folder
	PendingBytes int64
	Oldest       time.Time // when the oldest open or pending segment began, as of the same look; zero: there is none
}

// maxTogether is how many files of one batch are locked, reserved and written as one.
const maxTogether = 32

// Writer appends lines to segments, one open segment per type, project and table, and publishes them when they
// are complete. All methods are safe for concurrent use.
//
// Locks, in the order they are taken: stream.mu (several: in the order of their keys) → lruMu or
// openSegment.mu. None but stream.mu is held during a write, and none at all during an fsync.
type Writer struct {
	o    WriterOptions
	fs   FS
	log  *zap.Logger
	lock *folderLock

	mu      sync.RWMutex // guards streams and lastStamp
	streams map[streamKey]*stream
	// lastStamp remembers the newest names that were on the disk, or belong to streams that were forgotten.
	lastStamp map[string]time.Time

	lruMu sync.Mutex
	lru   *list.List // of *openSegment with a file descriptor; front: used last

	pub    *publisher
	use    usage
	health health
	comp   *compressor // nil: plain text

	closed atomic.Bool
	active sync.WaitGroup // Appends that run; added to only while closeMu is held for reading
	closeM sync.RWMutex
	stop   chan struct{}
	loops  sync.WaitGroup
}

type streamKey struct {
	t       Type
	project string
	table   string
}

func keyOf(p Part) streamKey { return streamKey{p.Type, p.Project, p.Table} }

func (k streamKey) compare(o streamKey) int {
	if c := strings.Compare(string(k.t), string(o.t)); c != 0 {
		return c
	}
	if c := strings.Compare(k.project, o.project); c != 0 {
		return c
	}
	return strings.Compare(k.table, o.table)
}

// OpenWriter takes the folder's lock, publishes what a predecessor left open, and starts writing. It fails
// when the folder cannot be created, written to or locked.
func OpenWriter(o WriterOptions) (*Writer, error) {
	if o.FS == nil {
		o.FS = OS()
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Observer == nil {
		o.Observer = nopObserver{}
	}
	if o.MaxOpenFiles <= 0 {
		o.MaxOpenFiles = 256
	}
	w := &Writer{
		o: o, fs: o.FS, log: o.Logger,
		streams: map[streamKey]*stream{},
		lru:     list.New(),
		stop:    make(chan struct{}),
	}
	w.health.report = o.OnHealth
	if o.Zstd {
		var err error
		if w.comp, err = newCompressor(); err != nil {
			return nil, err
		}
	}
	lock, err := lockFolder(w.fs, o.Dir)
	if err != nil {
		return nil, err
	}
	w.lock = lock
	if w.lastStamp, err = w.recover(); err != nil {
		lock.release()
		return nil, err
	}
	w.pub = newPublisher(w)
	if _, err := w.scanUsage(); err != nil {
		w.log.Warn("Cannot measure what is pending", zap.Error(err))
	}
	w.loops.Add(2)
	go w.pub.run()
	go w.housekeeping()
	if !o.Group && o.SyncEvery > 0 {
		w.loops.Add(1)
		go w.syncing()
	}
	return w, nil
}

// Append writes the parts of one batch, at most one per type, project and table. It returns nil when every byte is in the files (and on the disk
// with WriterOptions.Group); until then the caller owns the batch and repeats it as a whole after an error.
//
// So that a repetition doubles as little as possible, everything that can fail is done first: room in the
// budget, open files, space on the disk; for all files of the batch (up to maxTogether at once) before the first byte is
// written to any. What can still double then: an I/O error in the middle of the writes, or an fsync that
// fails (Group) after the lines became visible to readers. Whole lines are never taken back, because
// a reader that follows the segment may have loaded them; a torn one is cut off.
func (w *Writer) Append(ctx context.Context, parts []Part) error {
	if !w.enter() {
		return ErrClosed
	}
	defer w.active.Done()
	if w.comp != nil {
		packed, release := w.comp.pack(parts)
		defer release()
		parts = packed
	}
	var need int64
	for _, p := range parts {
		need += int64(len(p.Data))
	}
	if need == 0 {
		return nil
	}
	err := w.append(ctx, parts, need)
	if errors.Is(err, ErrTooLarge) {
		return err // it says nothing about the folder
	}
	w.health.set(causeWrite, err)
	return err
}

func (w *Writer) append(ctx context.Context, parts []Part, need int64) error {
	if err := w.lock.lost(); err != nil {
		return err
	}
	if err := w.admit(need); err != nil {
		return err
	}
	if len(parts) > 1 {
		parts = slices.Clone(parts)
		slices.SortFunc(parts, func(a, b Part) int {
			return keyOf(a).compare(keyOf(b))
		})
	}
	var marks []syncMark
	for chunk := range slices.Chunk(parts, maxTogether) {
		if err := w.appendTogether(chunk, &marks); err != nil {
			return err
		}
	}
	if !w.o.Group {
		return nil
	}
	return w.waitSynced(ctx, marks)
}

// syncMark is a position in a segment that has to be on the disk.
type syncMark struct {
	seg *openSegment
	to  int64
}

func (w *Writer) appendTogether(parts []Part, marks *[]syncMark) (err error) {
	held := make([]*stream, 0, maxTogether)
	defer func() {
		for _, st := range held {
			st.mu.Unlock()
		}
	}()
	failed := func(p Part, err error) error {
		w.o.Observer.WriteFailed(p.Type)
		return fmt.Errorf("jsonl: %s of project %q: %w", p.Type, p.Project, err)
	}
	for _, p := range parts {
		st := w.lockStream(keyOf(p))
		held = append(held, st)
		if err := st.prepare(p, len(parts) > 1); err != nil {
			return failed(p, err)
		}
	}
	for i, p := range parts {
		seg := held[i].seg
		if err := held[i].write(p); err != nil {
			return failed(p, err)
		}
		if w.o.Group {
			*marks = append(*marks, syncMark{seg, seg.size})
		}
	}
	return nil
}

// waitSynced makes all marks durable, those of several files at the same time.
func (w *Writer) waitSynced(ctx context.Context, marks []syncMark) error {
	if len(marks) == 1 {
		return w.syncOrSeal(ctx, marks[0])
	}
	errs := make([]error, len(marks))
	var wg sync.WaitGroup
	limit := make(chan struct{}, 8)
	for i, m := range marks {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			errs[i] = w.syncOrSeal(ctx, m)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// syncOrSeal ends a segment whose fsync failed, so that the next record finds a fresh one.
func (w *Writer) syncOrSeal(ctx context.Context, m syncMark) error {
	err := m.seg.syncTo(ctx, m.to)
	if m.seg.state() == stateGood {
		return err
	}
	m.seg.st.mu.Lock()
	defer m.seg.st.mu.Unlock()
	if m.seg.st.seg == m.seg {
		m.seg.st.seal()
	}
	return err
}

// lockStream returns the locked stream of a key, creating it if need be.
func (w *Writer) lockStream(key streamKey) *stream {
	for {
		w.mu.RLock()
		st := w.streams[key]
		w.mu.RUnlock()
		if st == nil {
			st = w.addStream(key)
		}
		st.mu.Lock()
		if !st.forgotten {
			return st
		}
		st.mu.Unlock() // housekeeping was faster: there is a new one, or none
	}
}

func (w *Writer) addStream(key streamKey) *stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	if st := w.streams[key]; st != nil {
		return st
	}
	dir := Dir(w.o.Dir, key.t, key.project)
	st := &stream{w: w, key: key, dir: dir, last: w.lastStamp[dir]}
	w.streams[key] = st
	return st
}

func (w *Writer) snapshot() []*stream {
	w.mu.RLock()
	defer w.mu.RUnlock()
	all := make([]*stream, 0, len(w.streams))
	for _, st := range w.streams {
		all = append(all, st)
	}
	return all
}

// Flush publishes all open segments and returns when that is done, or has failed for now.
func (w *Writer) Flush() {
	for _, st := range w.snapshot() {
		st.mu.Lock()
		st.seal()
		st.mu.Unlock()
	}
	w.pub.drain()
}

// Close waits for running Appends, publishes everything and gives the folder back. What cannot be published now
// stays open on the disk and is recovered by the next OpenWriter. Closing again does nothing.
func (w *Writer) Close() error {
	w.closeM.Lock()
	was := w.closed.Swap(true)
	w.closeM.Unlock()
	if was {
		return nil
	}
	w.active.Wait()
	w.Flush()
	close(w.stop)
	w.pub.close()
	w.loops.Wait()
	err := w.pub.unpublished()
	if w.comp != nil {
		w.comp.close()
	}
	w.lock.release()
	return err
}

func (w *Writer) enter() bool {
	w.closeM.RLock()
	defer w.closeM.RUnlock()
	if w.closed.Load() {
		return false
	}
	w.active.Add(1)
	return true
}

// Stats returns a snapshot.
func (w *Writer) Stats() Stats {
	s := Stats{PendingBytes: w.use.bytes.Load(), PendingFiles: w.use.files.Load(), OpenSegments: int(w.use.open.Load())}
	if ms := w.use.oldest.Load(); ms != 0 {
		s.Oldest = time.UnixMilli(ms)
	}
	w.lruMu.Lock()
	s.OpenFiles = w.lru.Len()
	w.lruMu.Unlock()
	return s
}

// Dir returns the base folder.
func (w *Writer) Dir() string { return filepath.Clean(w.o.Dir) }

type nopObserver struct{}

func (nopObserver) Fsync(time.Duration, error) {}
func (nopObserver) Published(Type)             {}
func (nopObserver) Recovered(Type)             {}
func (nopObserver) WriteFailed(Type)           {}
func (nopObserver) Dropped(Type, int64)        {}
