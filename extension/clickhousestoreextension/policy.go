// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousestoreextension

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tailrace/tailrace/internal/clickhouse"
)

// RetentionConfig is how long rows are kept, counted from their own time; 0s keeps them for ever.
type RetentionConfig struct {
	// Spans, Logs, Metrics and Scores are kept this long in their tables.
	Spans   time.Duration `mapstructure:"spans"`
	Logs    time.Duration `mapstructure:"logs"`
	Metrics time.Duration `mapstructure:"metrics"`
	Scores  time.Duration `mapstructure:"scores"`
	// Rollups are the states behind trace_summaries and the hourly views.
	Rollups time.Duration `mapstructure:"rollups"`
	// Projects has what differs, by project id.
	Projects map[string]ProjectRetentionConfig `mapstructure:"projects"`
}

// ProjectRetentionConfig has the keys of RetentionConfig that differ for a project.
type ProjectRetentionConfig struct {
	Spans   *time.Duration `mapstructure:"spans"`
	Logs    *time.Duration `mapstructure:"logs"`
	Metrics *time.Duration `mapstructure:"metrics"`
	Scores  *time.Duration `mapstructure:"scores"`
	Rollups *time.Duration `mapstructure:"rollups"`
}

const day = 24 * time.Hour

func defaultRetention() RetentionConfig {
	return RetentionConfig{Spans: 90 * day, Logs: 30 * day, Metrics: 90 * day, Scores: 90 * day, Rollups: 90 * day}
}

func (c RetentionConfig) retention() *clickhouse.Retention {
	r := &clickhouse.Retention{Spans: c.Spans, Logs: c.Logs, Metrics: c.Metrics, Scores: c.Scores, Rollups: c.Rollups}
	for project, own := range c.Projects {
		if r.Projects == nil {
			r.Projects = map[string]clickhouse.ProjectRetention{}
		}
		r.Projects[project] = clickhouse.ProjectRetention(own)
	}
	return r
}

// PriceConfig is the price of a million tokens of a model.
type PriceConfig struct {
	// Model is a name, or its beginning followed by *.
	Model string `mapstructure:"model"`
	// Provider narrows it to one provider.
	Provider string `mapstructure:"provider"`
	// Since is the day from which it holds, such as 2026-03-01, which YAML makes a time of unless it is quoted; absent: ever.
	Since any `mapstructure:"since"`
	// Input and Output are the prices of a million tokens that a model reads and writes.
	Input  float64 `mapstructure:"input"`
	Output float64 `mapstructure:"output"`
	// CacheRead is that of input tokens that were read from a cache; without it they cost as the others.
	CacheRead *float64 `mapstructure:"cache_read"`
}

func (p PriceConfig) since() (time.Time, error) {
	switch since := p.Since.(type) {
	case nil:
		return time.Time{}, nil
	case time.Time:
		return since.UTC(), nil
	default:
		return time.Parse(time.DateOnly, fmt.Sprint(since))
	}
}

func (p PriceConfig) validate() error {
	var errs error
	if p.Model == "" {
		errs = errors.New("model: must not be empty: a model's name, or its beginning followed by *")
	}
	if _, err := p.since(); err != nil {
		errs = errors.Join(errs, fmt.Errorf("since: %q is not a day such as 2026-03-01", fmt.Sprint(p.Since)))
	}
	for key, price := range map[string]float64{"input": p.Input, "output": p.Output, "cache_read": p.price().CacheRead} {
		if price < 0 || math.IsNaN(price) || math.IsInf(price, 0) {
			errs = errors.Join(errs, fmt.Errorf("%s: %v is not a price", key, price))
		}
	}
	return errs
}

func (p PriceConfig) price() clickhouse.Price {
	since, _ := p.since()
	out := clickhouse.Price{Model: p.Model, Provider: p.Provider, Since: since, Input: p.Input, Output: p.Output, CacheRead: p.Input}
	if p.CacheRead != nil {
		out.CacheRead = *p.CacheRead
	}
	return out
}

// ClusterConfig names a cluster.
type ClusterConfig struct {
	// Name as in remote_servers of the servers.
	Name string `mapstructure:"name"`
	// Path of the tables in Keeper.
	Path string `mapstructure:"path"`
	// Replica names a replica, by a macro of each server.
	Replica string `mapstructure:"replica"`
	// DeduplicationWindow is how long inserts are remembered: the longest that a batch may be unanswered before it is sent again.
	DeduplicationWindow time.Duration `mapstructure:"deduplication_window"`
	// DeduplicationInserts is how many inserts of a table are remembered on each shard: as many may come between a batch and its repetition.
	DeduplicationInserts int `mapstructure:"deduplication_inserts"`
}

func defaultCluster() ClusterConfig {
	return ClusterConfig{Path: clickhouse.DefaultClusterPath, Replica: clickhouse.DefaultClusterReplica, DeduplicationWindow: clickhouse.DefaultWindowSeconds * time.Second,
		DeduplicationInserts: clickhouse.DefaultWindowInserts}
}

func (cfg *Config) policy() clickhouse.Policy {
	p := clickhouse.Policy{Retention: cfg.Retention.retention()}
	if cfg.Prices != nil {
		p.Prices = []clickhouse.Price{}
	}
	for _, price := range cfg.Prices {
		p.Prices = append(p.Prices, price.price())
	}
	return p
}

func (cfg *Config) cluster() *clickhouse.Cluster {
	if !cfg.Cluster.HasValue() {
		return nil
	}
	c := cfg.Cluster.Get()
	return &clickhouse.Cluster{Name: c.Name, Path: c.Path, Replica: c.Replica, WindowSeconds: int(c.DeduplicationWindow.Seconds()), WindowInserts: c.DeduplicationInserts}
}
