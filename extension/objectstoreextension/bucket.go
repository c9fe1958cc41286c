// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/tailrace/tailrace/internal/segment"
)

// Where an object stands says what became of its segment; docs/format/object-storage.md.
const (
	dirClaims    = "claims"
	dirProcessed = segment.DirProcessed
	dirFailed    = segment.DirFailed
)

// metaSum is the metadata that holds the SHA-256 of the bytes, in hex.
const metaSum = "sha256"

// listAtOnce bounds how many segments one look at the bucket takes up, the oldest first.
const listAtOnce = 10_000

// ref names a segment, in the folder and in the bucket alike.
type ref struct {
	typ     segment.Type
	project string // its folder
	name    segment.Name
}

// parseKey reads the key of a segment's object. What it accepts can't leave the folder: a bucket may hold anything.
func parseKey(key string) (ref, bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 {
		return ref{}, false
	}
	typ, project := segment.Type(parts[0]), parts[1]
	name, ok := segment.Parse(parts[2])
	if !ok || name.Open || name.String() != parts[2] || !slices.Contains(segment.Types(), typ) {
		return ref{}, false
	}
	for _, p := range parts[1:] {
		if !filepath.IsLocal(p) || strings.ContainsAny(p, "\\\x00") || strings.HasPrefix(p, ".") {
			return ref{}, false
		}
	}
	if project == segment.DirProcessed || project == segment.DirFailed || len(parts[1]) > 255 || len(parts[2]) > 200 {
		return ref{}, false
	}
	return ref{typ, project, name}, true
}

// key is that of the object, below the prefix.
func (r ref) key() string { return path.Join(string(r.typ), r.project, r.name.String()) }

// claimKey is that of the claim: a segment has one, compressed or not.
func (r ref) claimKey() string { return path.Join(dirClaims, string(r.typ), r.project, r.name.ID) }

// file is the segment's file below a base folder.
func (r ref) file(base string) string {
	return filepath.Join(base, string(r.typ), r.project, r.name.String())
}

// bucket is what object storage has to be able to do.
type bucket struct {
	*blob.Bucket
	url string // without its parameters
}

func openBucket(ctx context.Context, cfg *Config) (*bucket, error) {
	name, _, _ := strings.Cut(cfg.Bucket, "?")
	b, err := blob.OpenBucket(ctx, cfg.Bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket: %s can't be opened: %w; %s", name, err, wayOut(err))
	}
	if cfg.Prefix != "" {
		b = blob.PrefixedBucket(b, cfg.Prefix)
		name = strings.TrimSuffix(name, "/") + "/" + strings.TrimSuffix(cfg.Prefix, "/")
	}
	return &bucket{b, name}, nil
}

// failed says what could not be done with an object.
func (b *bucket) failed(what, key string, err error) error {
	return fmt.Errorf("%s %s/%s: %w; %s", what, b.url, key, err, wayOut(err))
}

func wayOut(err error) string {
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return "it is tried again: create the bucket, or correct the key `bucket`"
	case gcerrors.PermissionDenied:
		return "it is tried again: give the collector credentials through the provider's environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT, …), " +
			"and them the right to list, read, write, copy and delete there"
	case gcerrors.InvalidArgument:
		return "it is tried again: correct the key `bucket`"
	}
	return "it is tried again, nothing is removed meanwhile"
}

// create writes an object unless there is one of this key, which it reports.
func (b *bucket) create(ctx context.Context, key string, meta map[string]string, write func(io.Writer) error) (exists bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := b.NewWriter(ctx, key, &blob.WriterOptions{IfNotExist: true, ContentType: "application/octet-stream", Metadata: meta})
	if err != nil {
		return false, err
	}
	if err = write(w); err != nil {
		cancel() // a canceled write leaves no object
		_ = w.Close()
	} else {
		err = w.Close()
	}
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return true, nil
	}
	return false, err
}

// object is a segment in the bucket.
type object struct {
	ref
	size int64
}

// list returns the segments that no look at the bucket has finished yet, the oldest first.
func (b *bucket) list(ctx context.Context) ([]object, error) {
	var all []object
	oldest := func() {
		slices.SortFunc(all, func(a, b object) int {
			return cmp.Or(cmp.Compare(a.name.ID, b.name.ID), cmp.Compare(a.key(), b.key()))
		})
		all = all[:min(len(all), listAtOnce)]
	}
	for _, t := range segment.Types() {
		it := b.List(&blob.ListOptions{Prefix: string(t) + "/"})
		for {
			o, err := it.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, b.failed("list", string(t)+"/", err)
			}
			if r, ok := parseKey(o.Key); ok {
				all = append(all, object{r, o.Size})
			}
			if len(all) >= 2*listAtOnce {
				oldest()
			}
		}
	}
	oldest()
	return all, nil
}
