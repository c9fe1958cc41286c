// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package httpserver holds what Tailrace's HTTP servers share beyond confighttp.
package httpserver

import (
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"
)

// Config is confighttp's, but refuses keys that it does not know.
type Config struct {
	confighttp.ServerConfig `mapstructure:",squash"`
}

// Unmarshal implements confmap.Unmarshaler. confighttp itself takes any key, because it is often squashed into a section with
// other keys; in a section of its own, a mistyped key must not go unnoticed.
func (s *Config) Unmarshal(conf *confmap.Conf) error {
	type strict confighttp.ServerConfig // without the methods
	keys := strict(s.ServerConfig)
	if err := conf.Unmarshal(&keys); err != nil {
		return err
	}
	return s.ServerConfig.Unmarshal(conf)
}
