// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package runnerextension

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/tailrace/tailrace/internal/supervise"
)

// GuardianConfig is for what happens to the processes when the collector can't end them itself any more. Linux only.
type GuardianConfig struct {
	// Name tells this runner from others of the machine: at its start it ends what an earlier runner of the same name
	// left behind when it was killed together with its guardian. Empty: made of what the collector was started with.
	Name string `mapstructure:"name"`
	// GracePeriod is the time from the end of the collector to SIGKILL for what still runs.
	GracePeriod time.Duration `mapstructure:"grace_period"`
	// Cgroup is the folder of the control group below which those of servers and builds with a limit of memory are made; empty: one is found.
	Cgroup string `mapstructure:"cgroup"`
}

// owner is the name of the runner on its machine: the same when the same command is started again in the same folder by the same user.
func (c *Config) owner(id component.ID) string {
	folder, _ := os.Getwd()
	name := cmp.Or(c.Guardian.Name, strings.Join(append([]string{folder}, os.Args...), "\x00"))
	return fmt.Sprintf("%d\x00%s\x00%s", os.Getuid(), id, name)
}

// validateStop looks at what overrides the runner's.
func (s *ServerConfig) validateStop(key string) []error {
	var errs []error
	if s.StopSignal != "" && supervise.SignalNumber(s.StopSignal) == 0 {
		errs = append(errs, fmt.Errorf("%s.stop_signal: must be the name of a signal such as SIGTERM or SIGINT, not %q", key, s.StopSignal))
	}
	if s.GracePeriod != nil && *s.GracePeriod < 0 {
		errs = append(errs, fmt.Errorf("%s.grace_period: must be at least 0s, not %s", key, *s.GracePeriod))
	}
	return errs
}
