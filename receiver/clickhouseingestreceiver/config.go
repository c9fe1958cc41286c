// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
)

// What is done with a segment that is loaded completely.
const (
	afterMove   = "move"
	afterDelete = "delete"
)

// Config is the user's YAML.
type Config struct {
	// Path is the base folder of the segments: {path}/{spans|logs|metrics|scores}/{project}/*.jsonl.
	Path string `mapstructure:"path"`
	// Store is the clickhouse_store extension that owns the tables; without it, batches are sent without asking.
	Store *component.ID `mapstructure:"store"`
	// Console is the console extension that shows how loading does.
	Console *component.ID `mapstructure:"console"`
	// StatePath is where manifests and offsets are kept; empty is {path}/.ingest.
	StatePath string `mapstructure:"state_path"`
	// Batch says when a batch is complete, whichever comes first.
	Batch BatchConfig `mapstructure:"batch"`
	// PollInterval is the time between two looks at the whole folder. New data is noticed by the file system's
	// notifications; this is the safety net, and the only way where notifications do not exist.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// AfterIngest says what is done with a loaded segment: move (to processed/) or delete.
	AfterIngest string `mapstructure:"after_ingest"`
	// Retain bounds what stays in processed/.
	Retain RetainConfig `mapstructure:"retain"`
	// MaxLineBytes is the longest line that is loaded; longer ones go to failed/.
	MaxLineBytes int `mapstructure:"max_line_bytes"`
	// TokenWindow is how long ClickHouse is trusted to remember a token; an older batch is only sent again after the
	// tables were asked what of it is there. 0 trusts it for ever.
	TokenWindow time.Duration `mapstructure:"token_window"`
	// ShutdownTimeout bounds how long a shutdown goes on loading what is on disk.
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`
}

// BatchConfig bounds a batch.
type BatchConfig struct {
	// MaxRecords and MaxBytes: the line that reaches one of them is still part of the batch.
	MaxRecords int `mapstructure:"max_records"`
	MaxBytes   int `mapstructure:"max_bytes"`
	// MaxDelay is the least time between two batches that are not full.
	MaxDelay time.Duration `mapstructure:"max_delay"`
	// MetricsMaxDelay is that of metrics, which have up to five tables to be inserted into, and are looked at over time.
	MetricsMaxDelay time.Duration `mapstructure:"metrics_max_delay"`
}

// RetainConfig bounds what stays in processed/; 0 is no bound.
type RetainConfig struct {
	// MaxAge is counted from the last write to a segment.
	MaxAge time.Duration `mapstructure:"max_age"`
	// MaxBytes is for each signal.
	MaxBytes int64 `mapstructure:"max_bytes"`
}

func createDefaultConfig() component.Config {
	return &Config{
		Path:            "./data/jsonl",
		Batch:           BatchConfig{MaxRecords: 100_000, MaxBytes: 32 << 20, MaxDelay: 150 * time.Millisecond, MetricsMaxDelay: time.Second},
		PollInterval:    10 * time.Second,
		AfterIngest:     afterMove,
		Retain:          RetainConfig{MaxAge: 72 * time.Hour, MaxBytes: 10 << 30},
		MaxLineBytes:    64 << 20,
		TokenWindow:     30 * time.Minute,
		ShutdownTimeout: 10 * time.Second,
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	bad := func(ok bool, key string, value any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not allowed, it must be %s", key, value, allowed))
		}
	}
	bad(c.Path != "", "path", `""`, "the folder of the segments, the same as the path of the jsonl exporter")
	bad(c.Batch.MaxRecords >= 1 && c.Batch.MaxRecords <= 1_000_000, "batch::max_records", c.Batch.MaxRecords, "between 1 and 1000000")
	bad(c.Batch.MaxBytes >= 1024 && c.Batch.MaxBytes <= 1<<30, "batch::max_bytes", c.Batch.MaxBytes, "between 1024 and 1073741824")
	bad(c.Batch.MaxDelay >= 0 && c.Batch.MaxDelay <= time.Minute, "batch::max_delay", c.Batch.MaxDelay, "between 0s and 1m")
	bad(c.Batch.MetricsMaxDelay >= 0 && c.Batch.MetricsMaxDelay <= time.Minute, "batch::metrics_max_delay", c.Batch.MetricsMaxDelay, "between 0s and 1m")
	bad(c.PollInterval >= 100*time.Millisecond, "poll_interval", c.PollInterval, "100ms or more")
	bad(c.AfterIngest == afterMove || c.AfterIngest == afterDelete, "after_ingest", fmt.Sprintf("%q", c.AfterIngest), `"move" or "delete"`)
	bad(c.MaxLineBytes >= 1024 && c.MaxLineBytes <= 1<<30, "max_line_bytes", c.MaxLineBytes, "between 1024 and 1073741824")
	bad(c.Retain.MaxAge >= 0, "retain::max_age", c.Retain.MaxAge, "0s (no bound) or more")
	bad(c.Retain.MaxBytes >= 0, "retain::max_bytes", c.Retain.MaxBytes, "0 (no bound) or more")
	bad(c.TokenWindow >= 0, "token_window", c.TokenWindow, "0s (never ask) or more")
	bad(c.ShutdownTimeout >= 0, "shutdown_timeout", c.ShutdownTimeout, "0s or more")
	return errors.Join(errs...)
}
