// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"fmt"
	"strconv"

	"github.com/tailrace/tailrace/internal/bytesize"
	"github.com/tailrace/tailrace/internal/supervise"
)

// PortsConfig is a range of ports, both ends included.
type PortsConfig struct {
	// From and To are the first and the last one.
	From int `mapstructure:"from"`
	To   int `mapstructure:"to"`
}

// LimitsConfig bounds the resources of a server; 0 changes nothing.
type LimitsConfig struct {
	// NoFile is the number of open files of each of its processes.
	NoFile int64 `mapstructure:"nofile"`
	// Memory is what all its processes have in memory together.
	Memory bytesize.Size `mapstructure:"memory"`
}

// minNoFile is what programs need to load and to have their three streams.
const minNoFile = 16

// minMemory is less than any program of use needs, and more than a mistaken unit gives.
const minMemory = 1 << 20

// assignedPort stands for a port that is known only when the server starts.
const assignedPort = "assigned"

func (p PortsConfig) validate() []error {
	if p.From >= 1 && p.From <= p.To && p.To <= 65535 {
		return nil
	}
	return []error{fmt.Errorf("ports: must go from 1 or more up to 65535 or less, not from %d to %d", p.From, p.To)}
}

func (s *ServerConfig) validateRights(key string) []error {
	var errs []error
	if _, err := s.rights(); err != nil {
		errs = append(errs, fmt.Errorf("%s.umask: must be octal digits from 000 to 777, such as \"027\", not %q", key, s.Umask))
	}
	if s.Limits.NoFile != 0 && s.Limits.NoFile < minNoFile {
		errs = append(errs, fmt.Errorf("%s.limits::nofile: must be at least %d, not %d", key, minNoFile, s.Limits.NoFile))
	}
	if s.Limits.Memory != 0 && s.Limits.Memory < minMemory {
		errs = append(errs, fmt.Errorf("%s.limits::memory: must be at least %s, such as 512MiB, not %s", key, bytesize.Size(minMemory), s.Limits.Memory))
	}
	if _, ok := s.Env["PORT"]; ok && s.AssignPort {
		errs = append(errs, fmt.Errorf("%s.assign_port: contradicts PORT in env; remove one of them", key))
	}
	return errs
}

// port is PORT in the environment of the server, assignedPort, or empty.
func (s *ServerConfig) port() string {
	if s.AssignPort {
		return assignedPort
	}
	return string(s.Env["PORT"])
}

func (s *ServerConfig) rights() (supervise.Rights, error) {
	rights := supervise.Rights{User: s.User, Group: s.Group, OpenFiles: uint64(max(0, s.Limits.NoFile)), Memory: uint64(s.Limits.Memory)}
	if s.Umask != "" {
		// Nine bits: the others of a mode are not masked.
		mask, err := strconv.ParseUint(s.Umask, 8, 9)
		if err != nil {
			return rights, err
		}
		umask := int(mask)
		rights.Umask = &umask
	}
	return rights, nil
}
