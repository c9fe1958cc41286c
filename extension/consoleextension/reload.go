// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/access"
)

// reloads remember what is wrong with which file, for the component's status.
type reloads struct {
	mu  sync.Mutex
	bad map[string]error
}

// watchAuth reads rules and tokens, and again whenever their files change. What is wrong now is an error; what becomes wrong later is a recoverable
// status, and what was read before goes on to count.
func (c *console) watchAuth(ctx context.Context) error {
	auth := c.cfg.Auth.Get()
	c.gate.SetRules(auth.Rules)
	if path := auth.RulesFile; path != "" {
		last, err := c.loadRules(nil)
		if err != nil {
			return fmt.Errorf("auth::rules_file: %w", err)
		}
		c.running.Go(func() {
			access.WatchFile(ctx, path, func() {
				sum, err := c.loadRules(last)
				c.reloaded(ctx, "rules", path, err, !slices.Equal(sum, last))
				last = sum
			})
		})
	}
	if path := auth.TokensFile; path != "" {
		// So that tailctl finds the folder, and the watch.
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("auth::tokens_file: %w", err)
		}
		last, err := c.loadTokens(nil)
		if err != nil {
			return fmt.Errorf("auth::tokens_file: %w", err)
		}
		c.running.Go(func() {
			access.WatchFile(ctx, path, func() {
				sum, err := c.loadTokens(last)
				c.reloaded(ctx, "tokens", path, err, !slices.Equal(sum, last))
				last = sum
			})
		})
	}
	return nil
}

// loadRules reads the file when its content is another one than that of last, and returns the sum of its content.
func (c *console) loadRules(last []byte) (sum []byte, err error) {
	auth := c.cfg.Auth.Get()
	content, err := os.ReadFile(auth.RulesFile)
	if err != nil {
		return last, err
	}
	sum = sumOf(content)
	if slices.Equal(sum, last) {
		return sum, c.reloads.of("rules")
	}
	rules, err := access.ParseRules(content)
	if err != nil {
		return sum, err
	}
	c.gate.SetRules(slices.Concat(auth.Rules, rules))
	return sum, nil
}

// loadTokens is the same for tokens. No file is no tokens: `tailctl token create` makes it.
func (c *console) loadTokens(last []byte) (sum []byte, err error) {
	file := access.NewTokenFile(c.cfg.Auth.Get().TokensFile)
	tokens, err := file.Load()
	if err != nil {
		return last, err
	}
	sum = tokens.Sum()
	if !slices.Equal(sum, last) {
		c.gate.SetTokens(tokens)
	}
	return sum, nil
}

func sumOf(content []byte) []byte {
	sum := sha256.Sum256(content)
	return sum[:]
}

// reloaded tells what is new.
func (c *console) reloaded(ctx context.Context, file, path string, err error, changed bool) {
	before := c.reloads.set(file, err)
	same := before == nil && err == nil || before != nil && err != nil && before.Error() == err.Error()
	switch {
	case same && !changed:
		return
	case err != nil:
		c.countReload(ctx, file, "failed")
		c.logger.Error("A file of the console can't be read; what was read before goes on to count", zap.String("file", path), zap.Error(err))
	case changed || before != nil:
		c.countReload(ctx, file, "success")
		c.logger.Info("A file of the console was read again", zap.String("file", path))
	}
	if same {
		return
	}
	if all := c.reloads.all(); all != nil {
		componentstatus.ReportStatus(c.host, componentstatus.NewRecoverableErrorEvent(all))
		return
	}
	componentstatus.ReportStatus(c.host, componentstatus.NewEvent(componentstatus.StatusOK))
}

// set remembers what is wrong with a file, nil for nothing, and returns what was before.
func (r *reloads) set(file string, err error) (before error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad == nil {
		r.bad = map[string]error{}
	}
	before = r.bad[file]
	r.bad[file] = err
	return before
}

func (r *reloads) of(file string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad[file]
}

func (r *reloads) all() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for file, err := range r.bad {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
	}
	return errors.Join(errs...)
}
