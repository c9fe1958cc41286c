// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/livetailclient"
)

// Environment of tail.
const (
	envConsole = "TAILRACE_CONSOLE"
	envToken   = "TAILRACE_TOKEN"
)

// tailFlags are those of tail.
type tailFlags struct {
	address, token, tokenFile                 string
	project, server, build, deployment, trace string
	service, name, level, grep, text, status  string
	event                                     []string
	exclude                                   string
	attributes                                []string
	signals                                   []string
	minDuration                               time.Duration
	follow, noFollow                          bool
	since                                     string
	lines, maxRate                            int
	output, color                             string
	timestamps, noTree                        bool
	once                                      bool
}

func newTailCommand() *cobra.Command {
	var f tailFlags
	command := &cobra.Command{
		Use:   "tail",
		Short: "Show logs, spans and scores while they happen",
		Long: `Show logs, spans and scores while they happen.

Without a choice it shows everything that you may see. The server filters, so that only what is shown travels. After a lost
connection it goes on where it was. When records are missing (they came faster than they could be taken, or the server no longer
holds them), it says how many, on standard error.`,
		Example: `  tailctl tail --project shop --server web-1 --level warn --grep 'time.?out'
  tailctl tail --server web-1 --since 10m --no-follow
  tailctl tail --trace 0af7651916cd43dd8448eb211c80319c
  tailctl tail --project shop --signals spans --status error -o json | jq .name`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runTail(command, &f) },
	}
	flags := command.Flags()
	flags.StringVar(&f.address, "address", orElse(os.Getenv(envConsole), "localhost:4400"), "the `URL` or host:port of the server (environment: "+envConsole+")")
	flags.StringVar(&f.token, "token", "", "an API token; better in the environment ("+envToken+") or --token-file, where others can't see it")
	flags.StringVar(&f.tokenFile, "token-file", "", "a `file` that holds the token")
	flags.StringVarP(&f.project, "project", "p", "", "this project")
	flags.StringVarP(&f.server, "server", "s", "", "this server")
	flags.StringVarP(&f.build, "build", "b", "", "this build")
	flags.StringVar(&f.deployment, "deployment", "", "this deployment")
	flags.StringVar(&f.trace, "trace", "", "this trace: its spans and logs")
	flags.StringVar(&f.service, "service", "", "this service")
	flags.StringVar(&f.name, "name", "", "spans, metrics or scores of this name")
	flags.StringSliceVar(&f.event, "event", nil, "log records of this event name")
	flags.StringVarP(&f.level, "level", "l", "", "logs of this `level` or above: trace, debug, info, warn, error, fatal")
	flags.StringVarP(&f.grep, "grep", "g", "", "a regular expression (RE2) that text, span name or message matches")
	flags.StringVar(&f.text, "text", "", "a text that is in it, in capitals or not")
	flags.StringVarP(&f.exclude, "exclude", "e", "", "a regular expression that it does not match")
	flags.StringVar(&f.status, "status", "", "spans of this status: ok, error")
	flags.DurationVar(&f.minDuration, "min-duration", 0, "spans that took so long or longer")
	flags.StringArrayVarP(&f.attributes, "attribute", "a", nil, "an attribute: `key=value`, or key alone for any value (several: all)")
	flags.StringSliceVar(&f.signals, "signals", nil, "of logs, spans, metrics, scores (all but metrics)")
	flags.BoolVarP(&f.follow, "follow", "f", true, "go on with what happens")
	flags.BoolVar(&f.noFollow, "no-follow", false, "show the past and end")
	flags.StringVar(&f.since, "since", "", "begin with what is not older than this `time`, or 10m for ten minutes")
	flags.IntVarP(&f.lines, "tail", "n", 10, "begin with so many of the newest records (with --since: 0 is all)")
	flags.IntVar(&f.maxRate, "max-rate", 0, "show at most so many records a second, an even choice of more")
	flags.StringVarP(&f.output, "output", "o", "pretty", "pretty, raw (the text alone) or json (one object a line)")
	flags.StringVar(&f.color, "color", "auto", "auto (on a terminal), always or never")
	flags.BoolVarP(&f.timestamps, "timestamps", "t", false, "whole timestamps")
	flags.BoolVar(&f.noTree, "no-tree", false, "show a span when it ends, and not the spans of a trace as a tree")
	flags.BoolVar(&f.once, "no-reconnect", false, "end when the connection is lost")
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &codeError{exitUsage, err} })
	return command
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func runTail(command *cobra.Command, f *tailFlags) error {
	if !command.Flags().Changed("tail") && f.since != "" {
		f.lines = 0
	}
	sub, err := f.subscription()
	if err != nil {
		return &codeError{exitUsage, err}
	}
	token, err := f.credential()
	if err != nil {
		return &codeError{exitUsage, err}
	}
	out := command.OutOrStdout()
	file, _ := out.(*os.File)
	printer, err := newTailPrinter(out, command.ErrOrStderr(), f, file != nil && isTerminal(file))
	if err != nil {
		return &codeError{exitUsage, err}
	}
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
	defer stop()
	client := livetailclient.New(livetailclient.Options{URL: tailURL(f.address), Token: token, Once: f.once})
	events := make(chan livetailclient.Event)
	ended := make(chan error, 1)
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		ended <- client.Run(running, []livetailclient.Subscription{sub}, func(e livetailclient.Event) error {
			select {
			case events <- e:
				return nil
			case <-running.Done():
				return running.Err()
			}
		})
	}()
	err = followTail(ctx, f, printer, events, ended)
	cancel()
	if flushErr := printer.finish(); err == nil {
		err = flushErr
	}
	return err
}

// errPastShown ends a tail that does not follow.
var errPastShown = errors.New("the past has been shown")

// followTail prints events until they end.
func followTail(ctx context.Context, f *tailFlags, p *tailPrinter, events <-chan livetailclient.Event, ended <-chan error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		select {
		case e := <-events:
			err = p.event(&e)
			if err == nil && e.Live && (f.noFollow || !f.follow) {
				err = errPastShown
			}
		case now := <-tick.C:
			err = p.due(now)
		case err = <-ended:
			if ctx.Err() != nil {
				return nil // Ctrl-C
			}
			return err
		}
		switch {
		case errors.Is(err, errPastShown), errors.Is(err, io.ErrClosedPipe), isBrokenPipe(err):
			return nil
		case err != nil:
			return err
		}
	}
}

func tailURL(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address
}

func (f *tailFlags) credential() (string, error) {
	if f.tokenFile != "" {
		raw, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return strings.TrimSpace(string(raw)), nil
	}
	return orElse(f.token, os.Getenv(envToken)), nil
}

// subscription makes the narrowest channel that has everything asked for, and a filter for the rest.
func (f *tailFlags) subscription() (livetailclient.Subscription, error) {
	filter := map[string]any{}
	attributes := map[string]any{}
	var channel string
	for _, c := range []struct{ kind, id, attribute string }{
		{"trace", f.trace, ""}, {"build", f.build, "build.id"}, {"server", f.server, "server.id"},
		{"deployment", f.deployment, "deployment.id"}, {"project", f.project, "project.id"},
	} {
		switch {
		case c.id == "":
		case channel == "":
			channel = c.kind + ":" + c.id
		default:
			attributes[c.attribute] = c.id
		}
	}
	channel = orElse(channel, "*")
	for _, a := range f.attributes {
		key, value, ok := strings.Cut(a, "=")
		switch {
		case key == "":
			return livetailclient.Subscription{}, fmt.Errorf("--attribute: %q has no name", a)
		case !ok:
			attributes[key] = map[string]bool{"exists": true}
		default:
			attributes[key] = attributeValues(value)
		}
	}
	signals := f.signals
	if len(signals) == 0 && f.name == "" {
		signals = []string{"logs", "spans", "scores"}
	}
	for _, s := range signals {
		if !slices.Contains([]string{"logs", "spans", "metrics", "scores"}, s) {
			return livetailclient.Subscription{}, fmt.Errorf("--signals: unknown %q; known are logs, spans, metrics and scores", s)
		}
	}
	for name, expr := range map[string]string{"--grep": f.grep, "--exclude": f.exclude} {
		if _, err := regexp.Compile(expr); err != nil {
			return livetailclient.Subscription{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	set := func(key string, value any, is bool) {
		if is {
			filter[key] = value
		}
	}
	set("signals", signals, len(signals) > 0)
	set("attributes", attributes, len(attributes) > 0)
	set("min_severity", f.level, f.level != "")
	set("regex", f.grep, f.grep != "")
	set("text", f.text, f.text != "")
	set("service", f.service, f.service != "")
	set("name", f.name, f.name != "")
	set("event_name", f.event, len(f.event) > 0)
	set("status", f.status, f.status != "")
	set("min_duration_ms", float64(f.minDuration)/1e6, f.minDuration > 0)
	set("not", map[string]string{"regex": f.exclude}, f.exclude != "")
	raw, err := json.Marshal(filter)
	if err != nil {
		return livetailclient.Subscription{}, err
	}
	since := f.since
	if d, err := time.ParseDuration(since); err == nil && d > 0 {
		since = "-" + since
	}
	return livetailclient.Subscription{Channel: channel, Filter: raw, Backfill: f.lines, Since: since, MaxRate: f.maxRate}, nil
}

// attributeValues is a text, and what it could be besides: a number or a boolean.
func attributeValues(s string) []any {
	values := []any{s}
	var other any
	if json.Unmarshal([]byte(s), &other) == nil {
		switch other.(type) {
		case float64, bool:
			values = append(values, other)
		}
	}
	return values
}
