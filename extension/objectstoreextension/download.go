// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"gocloud.dev/gcerrors"

	"github.com/tailrace/tailrace/internal/segment"
)

// The suffixes of a segment on its way into the folder; no reader of segments takes them up. The way is one of renames, so
// that a crash leaves it in one state, and that a segment that is claimed but has none of these names was handed over.
const (
	suffixDownload = ".download" // being written
	suffixReady    = ".ready"    // whole and durable; whose it is, is open
	suffixClaimed  = ".claimed"  // this folder's
)

// downloader is the centre: it brings every object into one folder once, and puts it away when it is loaded.
type downloader struct {
	cfg    *Config
	conf   *DownloadConfig
	worker string
	tel    observer
	log    *zap.Logger
	hook   func(point, key string) error // only in tests

	left []object // found .ready at the start: their objects may be gone

	mu      sync.Mutex
	owners  map[string]claim // of the objects that the last look found
	loading map[string]int64 // segments that are here and not loaded → bytes
	foreign int
}

// claim says whose a segment is, for good.
type claim struct {
	Worker string `json:"worker"`
	File   string `json:"file"` // its file name, with the compression
	Host   string `json:"host"`
	At     string `json:"at"`
}

func newDownloader(cfg *Config, tel observer, log *zap.Logger, hook func(string, string) error) (*downloader, error) {
	worker, err := workerID(cfg.Path)
	if err != nil {
		return nil, err
	}
	d := &downloader{cfg: cfg, conf: cfg.Download.Get(), worker: worker, tel: tel, log: log, hook: hook, owners: map[string]claim{}, loading: map[string]int64{}}
	return d, d.recover()
}

// recover goes on with what an earlier process had claimed, without asking the bucket. It has to come before
// clickhouse_ingest starts, which forgets the offsets of segments that it does not find.
func (d *downloader) recover() error {
	var errs []error
	err := eachFile(d.cfg.Path, func(r ref, suffix string, _ fs.DirEntry) {
		name := r.file(d.cfg.Path)
		switch suffix {
		case suffixReady:
			d.left = append(d.left, object{ref: r})
		case suffixDownload:
			errs = append(errs, os.Remove(name+suffix))
		case suffixClaimed:
			errs = append(errs, d.hand(r))
		}
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}

// pass takes up what is in the bucket, the oldest first, and returns how much of it waits to come here.
func (d *downloader) pass(ctx context.Context, b *bucket, tries *attempts) (left int, err error) {
	switch id, err := readWorkerID(d.cfg.Path); {
	case err != nil:
		return 0, downError{fmt.Errorf("the folder was taken away, so what of it is loaded can't be told: bring it back: %w", err)}
	case id != d.worker:
		return 0, downError{fmt.Errorf("path: another folder is at %q than at the start: bring the first one back, or start the collector again", d.cfg.Path)}
	}
	all, err := b.list(ctx)
	if err != nil {
		d.tel.failed(directionDownload)
		return 0, downError{err}
	}
	d.forget(all)
	all = d.withLeft(all)
	done, err := tries.each(ctx, d.cfg, all, func(ctx context.Context, o object) (bool, error) { return d.step(ctx, b, o) })
	d.mu.Lock()
	defer d.mu.Unlock()
	left = max(0, len(all)-done-len(d.loading)-d.foreign)
	d.tel.segments(stateWaiting, left)
	d.tel.segments(stateLoading, len(d.loading))
	d.tel.segments(stateForeign, d.foreign)
	return left, err
}

// withLeft adds what an earlier process had downloaded and not claimed, if the bucket does not show it any more: somebody else
// took it then, which its claim says.
func (d *downloader) withLeft(all []object) []object {
	d.left = slices.DeleteFunc(d.left, func(o object) bool {
		there, err := exists(o.file(d.cfg.Path) + suffixReady)
		return err == nil && !there
	})
	for _, o := range d.left {
		if !slices.ContainsFunc(all, func(a object) bool { return a.ref == o.ref }) {
			all = append(all, o)
		}
	}
	return all
}

// forget drops what is known of objects that are not there any more.
func (d *downloader) forget(all []object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	owners := make(map[string]claim, len(d.owners))
	loading := make(map[string]int64, len(d.loading))
	d.foreign = 0
	for _, o := range all {
		key := o.key()
		if c, ok := d.owners[key]; ok {
			owners[key] = c
			if c.Worker != d.worker {
				d.foreign++
			}
		}
		if n, ok := d.loading[key]; ok {
			loading[key] = n
		}
	}
	d.owners, d.loading = owners, loading
}

// step brings one object as far as it gets. true: nothing remains to be done for it.
func (d *downloader) step(ctx context.Context, b *bucket, o object) (bool, error) {
	name := o.file(d.cfg.Path)
	ready, err := exists(name + suffixReady)
	if err != nil {
		return false, err
	}
	if !ready {
		owner, err := d.owner(ctx, b, o)
		switch {
		case err != nil:
			return false, err
		case owner.Worker == d.worker:
			return d.away(ctx, b, o, owner)
		case owner.Worker != "":
			return false, nil
		}
		if !d.reserve(o) {
			return false, nil // later, when there is room
		}
		if err := d.fetch(ctx, b, o); err != nil {
			d.settle(o)
			return false, err
		}
		if err := d.hook(pointReady, o.key()); err != nil {
			return false, err
		}
	}
	owner, err := d.claim(ctx, b, o)
	if err != nil {
		return false, err
	}
	if owner.Worker != d.worker || owner.File != o.name.String() {
		d.settle(o)
		return false, os.Remove(name + suffixReady)
	}
	if err := d.hook(pointClaimed, o.key()); err != nil {
		return false, err
	}
	if err := renameDurably(name+suffixReady, name+suffixClaimed); err != nil {
		return false, err
	}
	if err := d.hook(pointKnown, o.key()); err != nil {
		return false, err
	}
	if err := d.hand(o.ref); err != nil {
		return false, err
	}
	return false, d.hook(pointHanded, o.key())
}

// hand gives a claimed segment to clickhouse_ingest.
func (d *downloader) hand(r ref) error {
	name := r.file(d.cfg.Path)
	return renameDurably(name+suffixClaimed, name)
}

// fetch downloads an object into a file that is whole and durable.
func (d *downloader) fetch(ctx context.Context, b *bucket, o object) (err error) {
	name := o.file(d.cfg.Path)
	if _, err := makeDirs(d.cfg.Path, string(o.typ), o.project); err != nil {
		return err
	}
	src, err := b.NewReader(ctx, o.key(), nil)
	if err != nil {
		return b.failed("download", o.key(), err)
	}
	defer func() { _ = src.Close() }()
	attrs, err := b.Attributes(ctx, o.key())
	if err != nil {
		return b.failed("look at", o.key(), err)
	}
	f, err := os.OpenFile(name+suffixDownload, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(name + suffixDownload)
		}
	}()
	hash := sha256.New()
	n, rerr := io.Copy(io.MultiWriter(f, hash), src)
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name+suffixDownload, err)
	}
	if rerr != nil {
		return b.failed("download", o.key(), rerr)
	}
	sum, want := hex.EncodeToString(hash.Sum(nil)), attrs.Metadata[metaSum]
	if n != attrs.Size || (want != "" && sum != want) { // an object that somebody else put there has no sum
		return b.failed("download", o.key(), fmt.Errorf("%d bytes with sha256 %s arrived, %d bytes with sha256 %s were uploaded", n, sum, attrs.Size, want))
	}
	if err := renameDurably(name+suffixDownload, name+suffixReady); err != nil {
		return err
	}
	d.tel.transferred(directionDownload, n)
	return nil
}

// owner returns whose a segment is; the empty claim when it is nobody's.
func (d *downloader) owner(ctx context.Context, b *bucket, o object) (claim, error) {
	d.mu.Lock()
	c, ok := d.owners[o.key()]
	d.mu.Unlock()
	if ok {
		return c, nil
	}
	text, err := b.ReadAll(ctx, o.claimKey())
	if gcerrors.Code(err) == gcerrors.NotFound {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, b.failed("read", o.claimKey(), err)
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Worker == "" {
		return claim{}, b.failed("read", o.claimKey(), fmt.Errorf("it is not a claim of object_store: %q: remove it, if nobody loads this segment", text))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owners[o.key()] = c
	if c.Worker != d.worker {
		d.foreign++
	}
	return c, nil
}

// claim makes a segment this folder's, unless it is somebody's, and returns whose it is.
func (d *downloader) claim(ctx context.Context, b *bucket, o object) (claim, error) {
	host, _ := os.Hostname()
	text, err := json.Marshal(claim{Worker: d.worker, File: o.name.String(), Host: host, At: time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		return claim{}, err
	}
	_, err = b.create(ctx, o.claimKey(), nil, func(w io.Writer) error { _, err := w.Write(text); return err })
	if err != nil {
		return claim{}, b.failed("claim", o.claimKey(), err)
	}
	// What stands there counts, whoever wrote it: an earlier attempt of ours may have arrived although its answer did not.
	owner, err := d.owner(ctx, b, o)
	if err == nil && owner.Worker == "" {
		err = b.failed("read", o.claimKey(), errors.New("the claim that was just made is not there"))
	}
	return owner, err
}

// away puts the object of a segment of this folder away when the segment is loaded.
func (d *downloader) away(ctx context.Context, b *bucket, o object, owner claim) (bool, error) {
	name := o.file(d.cfg.Path)
	there, err := exists(name)
	if err != nil {
		return false, err
	}
	if there && owner.File == o.name.String() {
		d.mu.Lock()
		d.loading[o.key()] = o.size
		d.mu.Unlock()
		return false, nil
	}
	if there, err = exists(name + suffixClaimed); err != nil || there {
		if err == nil {
			err = d.hand(o.ref) // an attempt failed
		}
		return false, err
	}
	failed, err := exists(filepath.Join(filepath.Dir(name), segment.DirFailed, filepath.Base(name)))
	if err != nil {
		return false, err
	}
	target := dirProcessed
	switch {
	case owner.File != o.name.String():
		d.log.Warn("another object of the same segment id was loaded, this one is not", zap.String("object", o.key()), zap.String("loaded", owner.File))
		target = dirFailed
	case failed:
		target = dirFailed
	}
	if d.conf.AfterLoad == afterMove || target == dirFailed {
		if err := b.Copy(ctx, path.Join(target, o.key()), o.key(), nil); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return false, b.failed("copy to "+target+"/", o.key(), err)
		}
		if err := d.hook(pointCopied, o.key()); err != nil {
			return false, err
		}
	}
	if err := b.Delete(ctx, o.key()); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return false, b.failed("delete", o.key(), err)
	}
	d.settle(o)
	return true, nil
}

// reserve makes room for a segment in what may be here and not loaded. A larger one has to be alone.
func (d *downloader) reserve(o object) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	var sum int64
	for _, n := range d.loading {
		sum += n
	}
	if sum > 0 && sum+o.size > d.conf.MaxPendingBytes {
		return false
	}
	d.loading[o.key()] = o.size
	return true
}

// settle gives the room back.
func (d *downloader) settle(o object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.loading, o.key())
}
