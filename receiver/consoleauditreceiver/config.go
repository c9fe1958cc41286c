// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleauditreceiver

import (
	"errors"

	"go.opentelemetry.io/collector/component"
)

// Config is the YAML of the receiver.
type Config struct {
	// Console is the ID of the console extension whose audit is taken.
	Console component.ID `mapstructure:"console"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	if c.Console == (component.ID{}) {
		return errors.New("console: must be the ID of a console extension, such as console")
	}
	return nil
}
