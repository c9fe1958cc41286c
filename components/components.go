// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package components lists the component factories of Tailrace, for programs that build a collector in
// Go instead of by ocb. builder-config.yaml lists the same ones; a test holds the two together.
package components

import (
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"

	"github.com/tailrace/tailrace/exporter/clickhousecolumnarexporter"
	"github.com/tailrace/tailrace/exporter/jsonlexporter"
	"github.com/tailrace/tailrace/exporter/livetailexporter"
	"github.com/tailrace/tailrace/extension/clickhouseserverextension"
	"github.com/tailrace/tailrace/extension/clickhousestoreextension"
	"github.com/tailrace/tailrace/extension/consoleextension"
	"github.com/tailrace/tailrace/extension/runnerextension"
	"github.com/tailrace/tailrace/processor/identityprocessor"
	"github.com/tailrace/tailrace/receiver/clickhouseingestreceiver"
	"github.com/tailrace/tailrace/receiver/consoleauditreceiver"
	"github.com/tailrace/tailrace/receiver/runnerlogreceiver"
)

// Extensions returns new factories of Tailrace's extensions.
func Extensions() []extension.Factory {
	return []extension.Factory{
		clickhouseserverextension.NewFactory(),
		clickhousestoreextension.NewFactory(),
		consoleextension.NewFactory(),
		runnerextension.NewFactory(),
	}
}

// Receivers returns new factories of Tailrace's receivers.
func Receivers() []receiver.Factory {
	return []receiver.Factory{
		clickhouseingestreceiver.NewFactory(),
		consoleauditreceiver.NewFactory(),
		runnerlogreceiver.NewFactory(),
	}
}

// Processors returns new factories of Tailrace's processors.
func Processors() []processor.Factory {
	return []processor.Factory{
		identityprocessor.NewFactory(),
	}
}

// Exporters returns new factories of Tailrace's exporters.
func Exporters() []exporter.Factory {
	return []exporter.Factory{
		clickhousecolumnarexporter.NewFactory(),
		jsonlexporter.NewFactory(),
		livetailexporter.NewFactory(),
	}
}
