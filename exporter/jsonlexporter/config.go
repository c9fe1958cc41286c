// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
)

// SyncMode says what an acknowledgement means.
type SyncMode string

// The values of `sync`.
const (
	// SyncWrite acknowledges when the system has the bytes: they survive the collector, not a power failure within FsyncInterval.
	SyncWrite SyncMode = "write"
	// SyncBatch acknowledges when the bytes are on the disk; callers that wait at the same time share one fsync.
	SyncBatch SyncMode = "batch"
)

// Encoding says what a line is.
type Encoding string

// The values of `encoding`.
const (
	// EncodingOTLPJSON writes OTLP/JSON documents of many records.
	EncodingOTLPJSON Encoding = "otlp_json"
	// EncodingFlatJSON writes one record a line, with ClickHouse's columns as keys.
	EncodingFlatJSON Encoding = "flat_json"
)

// Compression says how files are compressed.
type Compression string

// The values of `compression`.
const (
	CompressionNone Compression = "none"
	// CompressionZstd makes every batch a zstd frame.
	CompressionZstd Compression = "zstd"
)

// OnFull says what happens at MaxDiskBytes.
type OnFull string

// The values of `on_full`.
const (
	// OnFullBlock refuses with an error that is worth a retry until there is room.
	OnFullBlock OnFull = "block"
	// OnFullDropOldest deletes the oldest pending segments.
	OnFullDropOldest OnFull = "drop_oldest"
)

// minLineBytes leaves room for the resource and the scope, which every line repeats.
const minLineBytes = 1024

// Config is the YAML of the exporter.
type Config struct {
	// Path is the base folder; it is created if need be. One exporter at a time writes to it.
	Path string `mapstructure:"path"`
	// Encoding of the lines: otlp_json or flat_json.
	Encoding Encoding `mapstructure:"encoding"`
	// Compression of the files: none or zstd.
	Compression Compression `mapstructure:"compression"`
	// Sync is what an acknowledgement means: write or batch.
	Sync SyncMode `mapstructure:"sync"`
	// FsyncInterval is how often acknowledged bytes are forced to the disk with `sync: write`. 0: only at publication.
	FsyncInterval time.Duration `mapstructure:"fsync_interval"`
	// MaxLineBytes bounds a line, newline included. Only a single record that is longer goes beyond it.
	MaxLineBytes int `mapstructure:"max_line_bytes"`
	// Rotation says when a segment is complete.
	Rotation RotationConfig `mapstructure:"rotation"`
	// MaxOpenFiles bounds the file descriptors of open segments.
	MaxOpenFiles int `mapstructure:"max_open_files"`
	// MaxDiskBytes bounds open and pending segments together; 0 is unbounded.
	MaxDiskBytes int64 `mapstructure:"max_disk_bytes"`
	// OnFull is what happens at MaxDiskBytes: block or drop_oldest.
	OnFull OnFull `mapstructure:"on_full"`
}

// RotationConfig says when a segment is complete: whatever comes first.
type RotationConfig struct {
	// MaxBytes and MaxRecords of a segment; a batch is never divided.
	MaxBytes   int64 `mapstructure:"max_bytes"`
	MaxRecords int64 `mapstructure:"max_records"`
	// MaxAge counts from a segment's first record.
	MaxAge time.Duration `mapstructure:"max_age"`
	// Idle counts from its last one.
	Idle time.Duration `mapstructure:"idle"`
}

var _ confmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{
		Path:          "./data/jsonl",
		Encoding:      EncodingOTLPJSON,
		Compression:   CompressionNone,
		Sync:          SyncWrite,
		FsyncInterval: time.Second,
		MaxLineBytes:  1 << 20,
		Rotation: RotationConfig{
			MaxBytes:   10 << 20,
			MaxRecords: 1_000_000,
			MaxAge:     time.Minute,
			Idle:       5 * time.Second,
		},
		MaxOpenFiles: 256,
		OnFull:       OnFullBlock,
	}
}

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Path != "", "path: must name a folder, for example ./data/jsonl")
	check(c.Encoding == EncodingOTLPJSON || c.Encoding == EncodingFlatJSON,
		"encoding: %q is not known; allowed: %s, %s", c.Encoding, EncodingOTLPJSON, EncodingFlatJSON)
	check(c.Compression == CompressionNone || c.Compression == CompressionZstd,
		"compression: %q is not known; allowed: %s, %s", c.Compression, CompressionNone, CompressionZstd)
	check(c.Sync == SyncWrite || c.Sync == SyncBatch, "sync: %q is not known; allowed: %s, %s", c.Sync, SyncWrite, SyncBatch)
	check(c.FsyncInterval >= 0, "fsync_interval: %s is negative; allowed: 0 (only at publication) or more", c.FsyncInterval)
	check(c.MaxLineBytes >= minLineBytes, "max_line_bytes: %d is too small; allowed: %d or more", c.MaxLineBytes, minLineBytes)
	check(c.Rotation.MaxBytes > 0, "rotation::max_bytes: %d; allowed: 1 or more", c.Rotation.MaxBytes)
	check(c.Rotation.MaxRecords > 0, "rotation::max_records: %d; allowed: 1 or more", c.Rotation.MaxRecords)
	check(c.Rotation.MaxAge > 0, "rotation::max_age: %s; allowed: more than 0", c.Rotation.MaxAge)
	check(c.Rotation.Idle > 0, "rotation::idle: %s; allowed: more than 0", c.Rotation.Idle)
	check(c.MaxOpenFiles > 0, "max_open_files: %d; allowed: 1 or more", c.MaxOpenFiles)
	check(c.MaxDiskBytes >= 0, "max_disk_bytes: %d is negative; allowed: 0 (unbounded) or more", c.MaxDiskBytes)
	check(c.MaxDiskBytes == 0 || c.MaxDiskBytes >= c.Rotation.MaxBytes,
		"max_disk_bytes: %d is less than one segment; allowed: 0 (unbounded) or at least rotation::max_bytes (%d)", c.MaxDiskBytes, c.Rotation.MaxBytes)
	check(c.OnFull == OnFullBlock || c.OnFull == OnFullDropOldest,
		"on_full: %q is not known; allowed: %s, %s", c.OnFull, OnFullBlock, OnFullDropOldest)
	return errors.Join(errs...)
}
