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
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/runnercontrol"
)

// Exit codes of servers and builds; 0 is success.
const (
	exitFailed  = 1 // the runner can't be asked, or refused
	exitUsage   = 2 // the arguments
	exitOutcome = 3 // it was done, but the server does not run, or the build has not succeeded
)

// defaultWait is the limit of --wait.
const defaultWait = 5 * time.Minute

// codeError is an error that decides the exit code.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// exitCode is that of the process for an error of a command.
func exitCode(err error) int {
	if coded := new(codeError); errors.As(err, &coded) {
		return coded.code
	}
	if err != nil {
		return exitFailed
	}
	return 0
}

// controlFlags are those of servers and builds.
type controlFlags struct {
	socket  string
	json    bool
	wait    bool
	timeout time.Duration
}

func (f *controlFlags) add(command *cobra.Command) {
	flags := command.PersistentFlags()
	flags.StringVar(&f.socket, "socket", os.Getenv(runnercontrol.EnvSocket),
		"the socket of the runner, its key control::socket (environment: "+runnercontrol.EnvSocket+")")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &codeError{exitUsage, err} })
}

func (f *controlFlags) addWait(command *cobra.Command, until string) {
	command.Flags().BoolVar(&f.wait, "wait", false, "return when "+until+"; exit code 3 when that fails")
	command.Flags().DurationVar(&f.timeout, "timeout", defaultWait, "the limit of --wait, at most 10m")
}

func (f *controlFlags) client() (*runnercontrol.Client, error) {
	if f.socket == "" {
		return nil, &codeError{exitUsage, fmt.Errorf("which runner? Name its socket with --socket or %s: it is the key"+
			" `control: {socket: /path/to.sock}` of the runner in the configuration of the collector", runnercontrol.EnvSocket)}
	}
	return runnercontrol.NewClient(f.socket), nil
}

func (f *controlFlags) limit() time.Duration {
	if f.wait {
		return f.timeout
	}
	return 0
}

// needIDs refuses a command without ids.
func needIDs(kind string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &codeError{exitUsage, fmt.Errorf("%s needs the id of a %s; `tailctl %ss list` shows them", command.CommandPath(), kind, kind)}
		}
		return nil
	}
}

func newServersCommand() *cobra.Command {
	flags := &controlFlags{}
	list := func(command *cobra.Command, ids []string) error { return listServers(command, flags, ids) }
	command := &cobra.Command{
		Use: "servers", Short: "List, start, stop and restart the servers of a runner", RunE: list, Args: noSubcommand,
		Example: "  tailctl servers\n  tailctl servers restart shop-web-1 --wait",
	}
	flags.add(command)
	command.AddCommand(&cobra.Command{Use: "list [id...]", Short: "List the servers", RunE: list})
	for action, short := range map[string]string{
		runnercontrol.ActionStart:   "Start servers that do not run",
		runnercontrol.ActionStop:    "Stop servers; they stay stopped until they are started",
		runnercontrol.ActionRestart: "Stop servers, and start them again",
	} {
		sub := &cobra.Command{
			Use: action + " id...", Short: short, Args: needIDs("server"),
			RunE: func(command *cobra.Command, ids []string) error { return controlServers(command, flags, action, ids) },
		}
		flags.addWait(sub, "they run and their health is known, or they are stopped")
		command.AddCommand(sub)
	}
	return command
}

func newBuildsCommand() *cobra.Command {
	flags := &controlFlags{}
	list := func(command *cobra.Command, ids []string) error { return listBuilds(command, flags, ids) }
	command := &cobra.Command{
		Use: "builds", Short: "List, start and cancel the builds of a runner", RunE: list, Args: noSubcommand,
		Example: "  tailctl builds\n  tailctl builds start shop-web --wait",
	}
	flags.add(command)
	command.AddCommand(&cobra.Command{Use: "list [id...]", Short: "List the builds", RunE: list})
	for action, short := range map[string]string{
		runnercontrol.ActionStart:  "Queue builds",
		runnercontrol.ActionCancel: "Cancel builds that are queued or running",
	} {
		sub := &cobra.Command{
			Use: action + " id...", Short: short, Args: needIDs("build"),
			RunE: func(command *cobra.Command, ids []string) error { return controlBuilds(command, flags, action, ids) },
		}
		flags.addWait(sub, "they have ended")
		command.AddCommand(sub)
	}
	return command
}

// noSubcommand catches a misspelt one.
func noSubcommand(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &codeError{exitUsage, fmt.Errorf("%s has no command %q; see --help", command.CommandPath(), args[0])}
	}
	return nil
}

func listServers(command *cobra.Command, flags *controlFlags, ids []string) error {
	return list(command, flags, "server", ids, (*runnercontrol.Client).Servers,
		func(s runnercontrol.Server) string { return s.ID }, printServers)
}

func listBuilds(command *cobra.Command, flags *controlFlags, ids []string) error {
	return list(command, flags, "build", ids, (*runnercontrol.Client).Builds,
		func(b runnercontrol.Build) string { return b.ID }, printBuilds)
}

func list[T any](
	command *cobra.Command, flags *controlFlags, kind string, ids []string,
	get func(*runnercontrol.Client, context.Context) ([]T, error), id func(T) string, print func(io.Writer, []T) error,
) error {
	client, err := flags.client()
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := get(client, command.Context())
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		for _, want := range ids {
			if !slices.ContainsFunc(all, func(one T) bool { return id(one) == want }) {
				return fmt.Errorf("%s %q is not defined", kind, want)
			}
		}
		all = slices.DeleteFunc(all, func(one T) bool { return !slices.Contains(ids, id(one)) })
	}
	return show(command, flags, all, print)
}

func show[T any](command *cobra.Command, flags *controlFlags, all []T, print func(io.Writer, []T) error) error {
	if !flags.json {
		return print(command.OutOrStdout(), all)
	}
	encoder := json.NewEncoder(command.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

func controlServers(command *cobra.Command, flags *controlFlags, action string, ids []string) error {
	bad := func(s runnercontrol.Server) string {
		good := s.State == "running" && s.Health != "unhealthy" || s.State == "exited" && s.Exit != nil && s.Exit.Code == 0
		if action == runnercontrol.ActionStop {
			good = s.PID == 0
		}
		if good && s.Settled {
			return ""
		}
		return describe("server", s.ID, s.State, s.Health, s.Reason)
	}
	return operate(command, flags, ids, func(ctx context.Context, client *runnercontrol.Client, id string) (runnercontrol.Server, error) {
		return client.ControlServer(ctx, id, action, flags.limit())
	}, bad, printServers)
}

func controlBuilds(command *cobra.Command, flags *controlFlags, action string, ids []string) error {
	bad := func(b runnercontrol.Build) string {
		if b.Phase == "succeeded" || action == runnercontrol.ActionCancel && b.Settled {
			return ""
		}
		return describe("build", b.ID, b.Phase, "", b.Reason)
	}
	return operate(command, flags, ids, func(ctx context.Context, client *runnercontrol.Client, id string) (runnercontrol.Build, error) {
		return client.ControlBuild(ctx, id, action, flags.limit())
	}, bad, printBuilds)
}

func describe(kind, id, state, health, reason string) string {
	text := kind + " " + id + " is " + state
	if health == "unhealthy" || health == "starting" {
		text += " and " + health
	}
	if reason != "" {
		text += ": " + reason
	}
	return text
}

// operate does something with all ids at the same time, shows what came of it, and tells the first error of each.
func operate[T any](
	command *cobra.Command, flags *controlFlags, ids []string,
	do func(context.Context, *runnercontrol.Client, string) (T, error), bad func(T) string, print func(io.Writer, []T) error,
) error {
	if flags.timeout <= 0 || flags.timeout > 10*time.Minute {
		return &codeError{exitUsage, fmt.Errorf("--timeout must be more than 0s and at most 10m, not %s", flags.timeout)}
	}
	client, err := flags.client()
	if err != nil {
		return err
	}
	defer client.Close()
	type result struct {
		state T
		err   error
	}
	results := make([]chan result, len(ids))
	for i, id := range ids {
		results[i] = make(chan result, 1)
		go func() {
			state, err := do(command.Context(), client, id)
			results[i] <- result{state, err}
		}()
	}
	var states []T
	var errs []error
	var outcomes []string
	for _, c := range results {
		r := <-c
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		states = append(states, r.state)
		if why := bad(r.state); flags.wait && why != "" {
			outcomes = append(outcomes, why)
		}
	}
	if len(states) > 0 || flags.json {
		if err := show(command, flags, states, print); err != nil {
			return err
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if len(outcomes) > 0 {
		return &codeError{exitOutcome, errors.New(strings.Join(outcomes, "\n"))}
	}
	return nil
}

func printServers(to io.Writer, all []runnercontrol.Server) error {
	return table(to, "ID\tPROJECT\tDEPLOYMENT\tSTATE\tHEALTH\tPID\tPORT\tRESTARTS\tFOR\tCPU\tMEMORY\tREASON", all, func(s runnercontrol.Server) []string {
		cpu, memory := "", ""
		if s.Usage != nil {
			cpu = fmt.Sprintf("%.1fs", s.Usage.CPU)
			memory = fmt.Sprintf("%.1f MiB", float64(s.Usage.Memory)/(1<<20))
		}
		reason := s.Reason
		if reason == "" && s.Exit != nil && s.PID == 0 {
			reason = s.Exit.String()
		}
		return []string{
			s.ID, s.Project, s.Deployment, s.State, s.Health, number(s.PID), number(s.Port), strconv.Itoa(s.Restarts), age(s.Since), cpu, memory, reason,
		}
	})
}

func printBuilds(to io.Writer, all []runnercontrol.Build) error {
	return table(to, "ID\tPROJECT\tDEPLOYMENT\tPHASE\tQUEUE\tPID\tRUNS\tTOOK\tFOR\tREASON", all, func(b runnercontrol.Build) []string {
		took := ""
		if b.Duration > 0 {
			took = time.Duration(b.Duration * float64(time.Second)).Round(100 * time.Millisecond).String()
		}
		return []string{b.ID, b.Project, b.Deployment, b.Phase, number(b.Queue), number(b.PID), strconv.Itoa(b.Runs), took, age(b.Since), b.Reason}
	})
}

func table[T any](to io.Writer, head string, rows []T, cells func(T) []string) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, row := range rows {
		all := cells(row)
		for i, cell := range all {
			if cell == "" {
				all[i] = "-"
			} else {
				// One line each, whatever a reason holds.
				all[i] = strings.Join(strings.FieldsFunc(cell, func(r rune) bool { return r == '\n' || r == '\t' || r == '\r' }), " ")
			}
		}
		fmt.Fprintln(w, strings.Join(all, "\t"))
	}
	return w.Flush()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// age is how long ago something was, in its largest unit that fits.
func age(since *time.Time) string {
	if since == nil {
		return ""
	}
	d := max(0, time.Since(*since))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	case d >= time.Hour:
		return d.Truncate(time.Minute).String()
	default:
		return d.Truncate(time.Second).String()
	}
}
