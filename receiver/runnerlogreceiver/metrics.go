// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerlogreceiver

import (
	"context"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/tailrace/tailrace/internal/supervise"
	"github.com/tailrace/tailrace/receiver/runnerlogreceiver/internal/metadata"
)

func createMetrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	c := cfg.(*Config)
	u := newUsage(set, c)
	s, err := scraper.NewMetrics(u.scrape, scraper.WithStart(u.start))
	if err != nil {
		return nil, err
	}
	return scraperhelper.NewMetricsController(&c.ControllerConfig, set, next, scraperhelper.AddMetricsScraper(metadata.Type, s))
}

// usage measures the process trees of a runner's servers. It shares nothing with the receiver of lines: many may
// ask what a server uses, one takes its output.
type usage struct {
	cfg     *Config
	records records // for the resource
	builder *metadata.MetricsBuilder
	from    supervise.Reporter // set by start; nil: there is no runner
}

func newUsage(set receiver.Settings, cfg *Config) *usage {
	hostname, _ := os.Hostname() // the attribute is left out without
	return &usage{
		cfg: cfg, records: records{host: hostname},
		builder: metadata.NewMetricsBuilder(cfg.MetricsBuilderConfig, set),
	}
}

func (u *usage) start(_ context.Context, host component.Host) (err error) {
	if u.cfg.onlyListens(host) {
		return nil
	}
	u.from, err = runnerOf[supervise.Reporter](host, u.cfg.Runner)
	return err
}

// scrape makes a resource for each server: that of its lines, but without the process, so that a series goes on
// over restarts.
func (u *usage) scrape(context.Context) (pmetric.Metrics, error) {
	if u.from == nil {
		return u.builder.Emit(), nil
	}
	now := pcommon.NewTimestampFromTime(time.Now())
	for _, server := range u.from.ServerStats() {
		u.builder.RecordProcessCPUTimeDataPoint(now, server.CPU.Seconds())
		if server.Running {
			u.builder.RecordProcessUptimeDataPoint(now, server.Uptime.Seconds())
		} else {
			u.builder.RecordServerProcessCountDataPoint(now, 0)
		}
		if used := server.Usage; used != nil {
			u.builder.RecordServerProcessCountDataPoint(now, int64(used.Processes))
			u.builder.RecordProcessMemoryUsageDataPoint(now, used.RSS)
			u.builder.RecordProcessThreadCountDataPoint(now, int64(used.Threads))
			if used.OpenFiles >= 0 {
				u.builder.RecordProcessUnixFileDescriptorCountDataPoint(now, int64(used.OpenFiles))
			}
		}
		resource := pcommon.NewResource()
		u.records.resource(resource.Attributes(), server.Source, 0)
		u.builder.EmitForResource(metadata.WithResource(resource))
	}
	return u.builder.Emit(), nil
}
