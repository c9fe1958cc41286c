// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/gcerrors"

	"github.com/tailrace/tailrace/internal/segment"
)

// quiet is how long a file has to rest before it is uploaded: somebody may be copying it into the folder.
const quiet = 2 * time.Second

// Points of the way at which a process may be killed; tests do.
const (
	pointUploaded = "uploaded" // the object is there, the file too
	pointReady    = "ready"    // downloaded, not claimed
	pointClaimed  = "claimed"  // claimed, which nobody here knows yet
	pointKnown    = "known"    // claimed, which the name says
	pointHanded   = "handed"   // clickhouse_ingest has it
	pointCopied   = "copied"   // loaded, its object is below processed/ and in its place
)

// uploader is the edge: it uploads what is complete, and then lets go of the file.
type uploader struct {
	cfg   *Config
	after string
	tel   observer
	hook  func(point, key string) error // only in tests
}

// pass uploads what the folder holds, the oldest first, and returns how much of it is left.
func (u *uploader) pass(ctx context.Context, b *bucket, tries *attempts) (left int, err error) {
	all, young, err := pending(u.cfg.Path, quiet)
	if err != nil {
		return 0, fmt.Errorf("path: %w", err)
	}
	u.tel.segments(stateWaiting, len(all)+young)
	done, err := tries.each(ctx, u.cfg, all, func(ctx context.Context, o object) (bool, error) {
		err := u.upload(ctx, b, o)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil // deleted to make room, or by hand
		}
		return err == nil, err
	})
	left = len(all) + young - done
	u.tel.segments(stateWaiting, left)
	return left, err
}

// upload returns nil when the object is there and the file has been let go of.
func (u *uploader) upload(ctx context.Context, b *bucket, o object) error {
	name := o.file(u.cfg.Path)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	exists, err := b.create(ctx, o.key(), map[string]string{metaSum: sum}, func(w io.Writer) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		again := sha256.New()
		n, err := io.Copy(io.MultiWriter(w, again), f)
		if err == nil && (n != size || hex.EncodeToString(again.Sum(nil)) != sum) {
			err = fmt.Errorf("%s changes while it is uploaded: complete segments never change, so somebody else writes it; move files into the folder instead of copying them", name)
		}
		return err
	})
	if err != nil {
		return b.failed("upload "+name+" to", o.key(), err)
	}
	if exists {
		if err := u.same(ctx, b, o, size, sum); err != nil {
			return err
		}
	} else {
		u.tel.transferred(directionUpload, size)
	}
	if err := u.hook(pointUploaded, o.key()); err != nil {
		return err
	}
	return u.letGo(name)
}

// same reports whether the object that is there already is this segment: then an earlier attempt had succeeded.
func (*uploader) same(ctx context.Context, b *bucket, o object, size int64, sum string) error {
	attrs, err := b.Attributes(ctx, o.key())
	if gcerrors.Code(err) == gcerrors.NotFound {
		return b.failed("upload to", o.key(), errors.New("an object of this key was there and is gone, it was loaded meanwhile"))
	}
	if err != nil {
		return b.failed("look at", o.key(), err)
	}
	if attrs.Size != size || attrs.Metadata[metaSum] != sum {
		return fmt.Errorf("upload to %s/%s: another object (%d bytes, sha256 %q) has this key, the file %s has %d bytes and sha256 %q: "+
			"remove one of them, or give this collector another `prefix`", b.url, o.key(), attrs.Size, attrs.Metadata[metaSum], o.file("{path}"), size, sum)
	}
	return nil
}

// letGo needs no sync: a file that is back after a power failure is uploaded under the same key again.
func (u *uploader) letGo(name string) error {
	if u.after == afterDelete {
		return os.Remove(name)
	}
	dir := filepath.Join(filepath.Dir(name), segment.DirProcessed)
	if err := os.Mkdir(dir, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Rename(name, filepath.Join(dir, filepath.Base(name)))
}
