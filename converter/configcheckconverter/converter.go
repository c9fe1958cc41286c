// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheckconverter

import (
	"context"
	"os"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/components"
	"github.com/tailrace/tailrace/internal/configcheck"
)

// NewFactory returns a factory of the converter.
func NewFactory() confmap.ConverterFactory {
	return confmap.NewConverterFactory(func(set confmap.ConverterSettings) confmap.Converter {
		// A converter is told what the merged configuration is, but not what it was merged from: neither ConverterSettings nor
		// Conf carries the URIs or a line. The command line is the one place that names them. In a program with other flags nothing
		// is found there, and messages come without a file.
		return newConverter(set.Logger, os.Args[min(1, len(os.Args)):])
	})
}

type converter struct {
	logger   *zap.Logger
	args     []string
	sections []configcheck.Section
}

func newConverter(logger *zap.Logger, args []string) *converter {
	return &converter{logger: logger, args: slices.Clone(args), sections: []configcheck.Section{
		section("extensions", components.Extensions()),
		section("receivers", components.Receivers()),
		section("processors", components.Processors()),
		section("exporters", components.Exporters()),
	}}
}

func section[F component.Factory](name string, factories []F) configcheck.Section {
	s := configcheck.Section{Name: name}
	for _, f := range factories {
		s.Factories = append(s.Factories, f)
	}
	return s
}

// Convert implements confmap.Converter. It changes nothing: it returns an error when a Tailrace component is configured wrongly.
func (c *converter) Convert(_ context.Context, conf *confmap.Conf) (err error) {
	defer func() {
		if r := recover(); r != nil { // the collector checks on its own, only with less to say
			c.logger.Debug("The check of the configuration failed", zap.Any("panic", r))
			err = nil
		}
	}()
	return configcheck.Check(conf, c.sections, c.args)
}
