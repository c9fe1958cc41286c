// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/bytesize"
	"github.com/tailrace/tailrace/internal/lineproto"
)

// exitOwn is the exit code when tailctl itself failed, as of env, timeout and docker run.
const exitOwn = 125

const runLong = `Runs a command, passes its output through unchanged and forwards it to the collector (runner_log with listen).

The command does not notice: a collector that is away delays it by no more than 300 ms at its start and never after;
until it is back, lines are kept in a spool on disk and sent in order then. Signals are forwarded, the exit code is
that of the command (128+n after signal n; 127 not found, 126 not executable, 125 tailctl itself failed).

The command gets the environment that sends its own telemetry to the same collector: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_HEADERS (all three only when the first is not set yet), OTEL_SERVICE_NAME
(when not set) and OTEL_RESOURCE_ATTRIBUTES (merged).

Defaults from the environment: TAILRACE_PROJECT, TAILRACE_DEPLOYMENT, TAILRACE_SERVER, TAILRACE_BUILD, TAILRACE_SOCKET,
TAILRACE_TCP, TAILRACE_TOKEN, TAILRACE_SPOOL_DIR. Without them the project is "default" and the server <host>-<command>.`

const runExample = `  tailctl run --project shop --server web-1 -- node server.mjs
  tailctl run --project shop --build "$CI_JOB_ID" -- make dist
  tailctl run --flush

  # Procfile
  web: tailctl run --project shop --server web -- node server.mjs
  # systemd unit; KillMode=mixed: only tailctl gets SIGTERM, and forwards it once
  ExecStart=/usr/local/bin/tailctl run --project shop --server web-1 --socket /run/tailrace/runner.sock -- node server.mjs
  KillMode=mixed
  # Dockerfile
  ENTRYPOINT ["tailctl", "run", "--project", "shop", "--server", "web", "--", "node", "server.mjs"]`

// runFlags are the flags of `tailctl run`.
type runFlags struct {
	project, deployment, server, build string
	labels                             []string
	socket, tcp, tokenFile, token      string
	spoolDir, spoolMax                 string
	drain                              time.Duration
	noOTelEnv, quiet, group, flush     bool
	verbose                            bool
}

func newRunCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "run [flags] -- command [argument]…", Short: "Run a command and forward its output to the collector",
		Long: runLong, Example: runExample, DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what stands behind the command is its own
	flags.StringVar(&f.project, "project", "", "project of the command")
	flags.StringVar(&f.deployment, "deployment", "", "deployment of the server")
	flags.StringVar(&f.server, "server", "", "id of the server that the command is")
	flags.StringVar(&f.build, "build", "", "the command is a build with this `id`: its end is its success or failure")
	flags.StringArrayVar(&f.labels, "label", nil, "attribute of the resource, `key=value`; may be repeated")
	flags.StringVar(&f.socket, "socket", "", "`path` of the collector's socket (default: the first there is of "+strings.Join(defaultSockets(os.Getenv), ", ")+")")
	flags.StringVar(&f.tcp, "tcp", "", "`host:port` of the collector instead of a socket")
	flags.StringVar(&f.tokenFile, "token-file", "", "`file` with the token for --tcp")
	flags.StringVar(&f.spoolDir, "spool-dir", "", "`folder` for what can't be sent yet (default: "+defaultSpoolDir(os.Getenv)+")")
	flags.StringVar(&f.spoolMax, "spool-max", "64MiB", "`size` of the spool; the oldest lines are dropped, and counted")
	flags.DurationVar(&f.drain, "drain-timeout", 5*time.Second, "how long the last lines may take to the collector after the end of the command")
	flags.BoolVar(&f.noOTelEnv, "no-otel-env", false, "leave the environment of the command as it is")
	flags.BoolVar(&f.group, "signal-group", false, "forward signals to the whole process group of the command")
	flags.BoolVar(&f.flush, "flush", false, "run nothing: send what earlier runs left in the spool, wait for that, and end")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing of its own at the end, such as that lines wait in the spool")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "say on standard error why there is no connection")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return own(err) })
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		f.fromEnvironment(os.Getenv)
		if f.flush {
			if len(args) > 0 {
				return own(errors.New("run: --flush takes no command"))
			}
			return f.sendLeft()
		}
		if len(args) == 0 {
			return own(errors.New("run: a command is missing: tailctl run --server web-1 -- node server.mjs"))
		}
		opt, err := f.options(args)
		if err != nil {
			return own(fmt.Errorf("run: %w", err))
		}
		return runCommand(&f, opt, args)
	}
	return cmd
}

// own says what tailctl itself could not do.
func own(err error) error {
	fmt.Fprintln(os.Stderr, "tailctl:", err)
	return exitError(exitOwn)
}

func (f *runFlags) fromEnvironment(getenv func(string) string) {
	f.project = cmp.Or(f.project, getenv("TAILRACE_PROJECT"), "default")
	f.deployment = cmp.Or(f.deployment, getenv("TAILRACE_DEPLOYMENT"))
	if f.server == "" && f.build == "" {
		if f.server = getenv("TAILRACE_SERVER"); f.server == "" {
			f.build = getenv("TAILRACE_BUILD")
		}
	}
	if f.tcp == "" && f.socket == "" {
		if f.socket = getenv("TAILRACE_SOCKET"); f.socket == "" {
			f.tcp = getenv("TAILRACE_TCP")
		}
	}
	f.token = getenv("TAILRACE_TOKEN")
	f.spoolDir = cmp.Or(f.spoolDir, getenv("TAILRACE_SPOOL_DIR"), defaultSpoolDir(getenv))
}

// options turns flags into those of a client.
func (f *runFlags) options(args []string) (lineproto.ClientOptions, error) {
	opt := lineproto.ClientOptions{SpoolDir: f.spoolDir, Logger: f.logger()}
	if f.server != "" && f.build != "" {
		return opt, errors.New("--server and --build: give one of them")
	}
	if f.server == "" && f.build == "" && len(args) > 0 {
		host, err := os.Hostname()
		if err != nil || host == "" {
			host = "localhost"
		}
		f.server = host + "-" + filepath.Base(args[0])
	}
	labels, err := parseLabels(f.labels)
	if err != nil {
		return opt, err
	}
	if opt.SpoolBytes, err = parseSize(f.spoolMax); err != nil {
		return opt, fmt.Errorf("--spool-max: %w", err)
	}
	if opt.Token, opt.Target, opt.Dial, err = f.target(); err != nil {
		return opt, err
	}
	opt.Hello = lineproto.Hello{
		Project: f.project, Deployment: f.deployment, Server: f.server, Build: f.build, Labels: labels, Command: args,
		Service: serviceName(os.Environ(), cmp.Or(f.deployment, f.server, f.build)),
	}
	return opt, nil
}

func (f *runFlags) target() (token, target string, dial func(context.Context) (net.Conn, error), err error) {
	var dialer net.Dialer
	if f.tcp != "" {
		if f.socket != "" {
			return "", "", nil, errors.New("--socket and --tcp: give one of them")
		}
		token = f.token
		if f.tokenFile != "" {
			b, err := os.ReadFile(f.tokenFile)
			if err != nil {
				return "", "", nil, fmt.Errorf("--token-file: %w", err)
			}
			token = strings.TrimSpace(string(b))
		}
		if token == "" {
			return "", "", nil, errors.New("--tcp: a token is needed: give --token-file or TAILRACE_TOKEN")
		}
		return token, "tcp:" + f.tcp, func(ctx context.Context) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", f.tcp)
		}, nil
	}
	if f.socket != "" {
		path, err := filepath.Abs(f.socket)
		if err != nil {
			return "", "", nil, err
		}
		return "", "unix:" + path, func(ctx context.Context) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}, nil
	}
	candidates := defaultSockets(os.Getenv)
	return "", "default", func(ctx context.Context) (net.Conn, error) {
		for _, path := range candidates {
			if trusted(path) {
				return dialer.DialContext(ctx, "unix", path)
			}
		}
		return nil, fmt.Errorf("no collector listens at %s", strings.Join(candidates, ", "))
	}, nil
}

func (f *runFlags) logger() *zap.Logger {
	if !f.verbose {
		return zap.NewNop()
	}
	logger, err := zap.NewDevelopment()
	if err != nil {
		return zap.NewNop()
	}
	return logger
}

// sendLeft delivers what earlier runs left.
func (f *runFlags) sendLeft() error {
	f.server = cmp.Or(f.server, ulid.Make().String()) // not used
	f.build = ""
	opt, err := f.options(nil)
	if err != nil {
		return own(fmt.Errorf("run: %w", err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), max(f.drain, time.Minute))
	defer cancel()
	sent, err := lineproto.Flush(ctx, opt)
	if !f.quiet {
		fmt.Fprintf(os.Stderr, "tailctl: sent what %d runs had left\n", sent)
	}
	if err != nil {
		return own(fmt.Errorf("run: --flush: %w", err))
	}
	return nil
}

// defaultSockets is where a collector of this machine listens, by our shipped configuration and by our example of a service.
func defaultSockets(getenv func(string) string) []string {
	paths := []string{filepath.Join(cmp.Or(getenv("TAILRACE_DATA"), "data"), "runner.sock")}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		paths = append(paths, filepath.Join(dir, "tailrace", "runner.sock"))
	}
	paths = append(paths, "/run/tailrace/runner.sock")
	for i, path := range paths {
		if abs, err := filepath.Abs(path); err == nil {
			paths[i] = abs
		}
	}
	return paths
}

func defaultSpoolDir(getenv func(string) string) string {
	if dir := getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "tailrace", "spool")
	}
	if home := getenv("HOME"); home != "" && home != "/" {
		return filepath.Join(home, ".local", "state", "tailrace", "spool")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("tailrace-spool-%d", os.Getuid()))
}

func parseLabels(labels []string) (map[string]string, error) {
	all := make(map[string]string, len(labels))
	for _, label := range labels {
		key, value, ok := strings.Cut(label, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--label: must be key=value, is %q", label)
		}
		all[key] = value
	}
	return all, nil
}

func parseSize(text string) (int64, error) {
	var size bytesize.Size
	if err := size.UnmarshalText([]byte(text)); err != nil {
		return 0, err
	}
	if size < lineproto.MinSpoolBytes {
		return 0, fmt.Errorf("must be at least 1MiB, such as 64MiB, not %s", size)
	}
	return int64(size), nil
}
