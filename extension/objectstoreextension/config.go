// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"

	// The kinds of buckets that a URL may name.
	_ "gocloud.dev/blob/azureblob"
	_ "gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/gcsblob"
	_ "gocloud.dev/blob/s3blob"
)

// What is done with a segment that went its way.
const (
	afterMove   = "move"
	afterDelete = "delete"
)

var schemes = []string{"s3", "gs", "azblob", "file"}

// Config is the YAML of object_store. Credentials are those of the provider's own environment.
type Config struct {
	// Bucket is the bucket's URL.
	Bucket string `mapstructure:"bucket"`
	// Prefix is what all keys begin with; empty, or ending in a slash.
	Prefix string `mapstructure:"prefix"`
	// Path is the base folder of the segments.
	Path string `mapstructure:"path"`
	// Upload makes it the edge, Download the centre; exactly one of them is given.
	Upload   configoptional.Optional[UploadConfig]   `mapstructure:"upload"`
	Download configoptional.Optional[DownloadConfig] `mapstructure:"download"`
	// Concurrency is how many segments are transferred at the same time.
	Concurrency int `mapstructure:"concurrency"`
	// Timeout bounds the transfer of one segment; then it is repeated.
	Timeout time.Duration `mapstructure:"timeout"`
	// RetryMaxInterval bounds the pause after errors, which begins at a second and doubles.
	RetryMaxInterval time.Duration `mapstructure:"retry_max_interval"`
}

// UploadConfig is of the edge.
type UploadConfig struct {
	// PollInterval is the time between two looks at the folder.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// AfterUpload says what is done with a segment whose upload was confirmed: delete, or move (to processed/).
	AfterUpload string `mapstructure:"after_upload"`
	// ShutdownTimeout bounds how long a shutdown goes on uploading what the folder holds.
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`
}

// DownloadConfig is of the centre.
type DownloadConfig struct {
	// PollInterval is the time between two listings of the bucket.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// AfterLoad says what is done with the object of a loaded segment: move (below processed/), or delete.
	AfterLoad string `mapstructure:"after_load"`
	// MaxPendingBytes bounds what is in the folder and not loaded yet.
	MaxPendingBytes int64 `mapstructure:"max_pending_bytes"`
}

func createDefaultConfig() component.Config {
	return &Config{
		Path:             "./data/jsonl",
		Upload:           configoptional.Default(UploadConfig{PollInterval: time.Second, AfterUpload: afterDelete, ShutdownTimeout: 10 * time.Second}),
		Download:         configoptional.Default(DownloadConfig{PollInterval: 10 * time.Second, AfterLoad: afterMove, MaxPendingBytes: 1 << 30}),
		Concurrency:      4,
		Timeout:          5 * time.Minute,
		RetryMaxInterval: time.Minute,
	}
}

// Validate implements xconfmap.Validator; errors name the key.
func (c *Config) Validate() error {
	errs := []error{c.validateBucket()}
	bad := func(ok bool, key string, value any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not allowed, it must be %s", key, value, allowed))
		}
	}
	bad(c.Prefix == "" || (strings.HasSuffix(c.Prefix, "/") && !strings.HasPrefix(c.Prefix, "/") && !strings.Contains(c.Prefix, "//")),
		"prefix", fmt.Sprintf("%q", c.Prefix), `empty, or end in a slash and not begin with one, such as "tailrace/"`)
	bad(c.Path != "", "path", `""`, "the folder of the segments: that of the jsonl exporter (upload) or of clickhouse_ingest (download)")
	bad(c.Concurrency >= 1 && c.Concurrency <= 256, "concurrency", c.Concurrency, "between 1 and 256")
	bad(c.Timeout >= time.Second, "timeout", c.Timeout, "1s or more")
	bad(c.RetryMaxInterval >= time.Second, "retry_max_interval", c.RetryMaxInterval, "1s or more")
	if c.Upload.HasValue() == c.Download.HasValue() {
		errs = append(errs, errors.New("upload, download: give exactly one of them; `upload: {}` where segments are written, "+
			"`download: {}` where clickhouse_ingest loads them, in a folder of its own"))
	}
	if u := c.Upload.Get(); u != nil {
		bad(u.PollInterval >= 100*time.Millisecond, "upload::poll_interval", u.PollInterval, "100ms or more")
		bad(u.AfterUpload == afterMove || u.AfterUpload == afterDelete, "upload::after_upload", fmt.Sprintf("%q", u.AfterUpload), `"delete" or "move"`)
		bad(u.ShutdownTimeout >= 0, "upload::shutdown_timeout", u.ShutdownTimeout, "0s or more")
	}
	if d := c.Download.Get(); d != nil {
		bad(d.PollInterval >= 100*time.Millisecond, "download::poll_interval", d.PollInterval, "100ms or more")
		bad(d.AfterLoad == afterMove || d.AfterLoad == afterDelete, "download::after_load", fmt.Sprintf("%q", d.AfterLoad), `"move" or "delete"`)
		bad(d.MaxPendingBytes >= 1<<20, "download::max_pending_bytes", d.MaxPendingBytes, "1048576 (1 MiB) or more")
	}
	return errors.Join(errs...)
}

func (c *Config) validateBucket() error {
	const example = `such as "s3://name?region=eu-central-1", "gs://name", "azblob://container" or "file:///folder"`
	u, err := url.Parse(c.Bucket)
	switch {
	case err != nil || c.Bucket == "":
		return fmt.Errorf("bucket: must be the bucket's URL, %s", example)
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("bucket: the scheme %q is not known, it must be one of %s: %s", u.Scheme, strings.Join(schemes, ", "), example)
	case u.User != nil:
		return errors.New("bucket: the URL holds a user or a password; credentials belong into the provider's environment (AWS_ACCESS_KEY_ID, …), not into the configuration")
	case u.Scheme != "file" && u.Host == "", u.Scheme == "file" && u.Path == "":
		return fmt.Errorf("bucket: %q names no bucket: %s", c.Bucket, example)
	}
	return nil
}
