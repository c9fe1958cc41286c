// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	hostName    = "tailrace-clickhouse"
	libraryName = "libchdb.so"
	// libraryEnv is how tailrace-clickhouse is told its library.
	libraryEnv = "TAILRACE_CLICKHOUSE_LIBRARY"
)

// engine is a program that understands the command line of `clickhouse local`.
type engine struct {
	program string
	// subcommand comes before the options: "local" for the multi-tool `clickhouse`.
	subcommand []string
	// library is the libchdb.so of tailrace-clickhouse, "" for a ClickHouse binary.
	library string
}

// image is the file that holds the engine: its identity tells whether the version may have changed.
func (e engine) image() string {
	if e.library != "" {
		return e.library
	}
	return e.program
}

// finder searches for engines. Its functions are those of the operating system but in tests.
type finder struct {
	executable func() (string, error)
	lookPath   func(name string) (string, error)
	getenv     func(name string) string
}

func (f finder) withDefaults() finder {
	if f.executable == nil {
		f.executable = os.Executable
	}
	if f.lookPath == nil {
		f.lookPath = exec.LookPath
	}
	if f.getenv == nil {
		f.getenv = os.Getenv
	}
	return f
}

// candidates returns the engines to try, the best first. There is at least one when err is nil.
//
// `binary` and `library` are the user's word and leave no other candidate. Without them an installed
// ClickHouse goes before the library: the user chose its version, and it is the same program.
func (f finder) candidates(cfg Config) ([]engine, error) {
	switch {
	case cfg.Binary != "":
		program, err := f.lookPath(cfg.Binary)
		if err != nil {
			return nil, fmt.Errorf("binary: %q can not be run (%w): give the path of an installed clickhouse, or leave `binary` empty to search for one", cfg.Binary, err)
		}
		e, err := f.engineOf(program, cfg.Library)
		if err != nil {
			return nil, err
		}
		return []engine{e}, nil
	case cfg.Library != "":
		e, err := f.host(cfg.Library)
		if err != nil {
			return nil, err
		}
		return []engine{e}, nil
	}
	var found []engine
	if program, err := f.lookPath("clickhouse"); err == nil {
		if e, err := f.engineOf(program, ""); err == nil {
			found = append(found, e)
		}
	}
	e, err := f.host("")
	if err == nil {
		found = append(found, e)
	}
	if len(found) == 0 {
		return nil, err
	}
	return found, nil
}

// engineOf says how a program wants to be called, by its name, as the multi-tool itself does.
func (f finder) engineOf(program, library string) (engine, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return engine{}, err
	}
	switch base := strings.TrimSuffix(filepath.Base(program), ".exe"); {
	case base == hostName:
		library, err := f.libraryOf(program, library)
		return engine{program: program, library: library}, err
	case strings.HasSuffix(base, "-local"):
		return engine{program: program}, nil
	default:
		return engine{program: program, subcommand: []string{"local"}}, nil
	}
}

// host finds tailrace-clickhouse, beside the running program first, then on the PATH.
func (f finder) host(library string) (engine, error) {
	var problem error
	try := func(program string) (engine, bool) {
		if _, err := f.lookPath(program); err != nil {
			return engine{}, false
		}
		e, err := f.engineOf(program, library)
		if err != nil {
			problem = errors.Join(problem, err)
		}
		return e, err == nil
	}
	if self, err := f.executable(); err == nil {
		if e, ok := try(filepath.Join(filepath.Dir(self), hostName)); ok {
			return e, nil
		}
	}
	if program, err := f.lookPath(hostName); err == nil {
		if e, ok := try(program); ok {
			return e, nil
		}
	}
	if problem != nil {
		return engine{}, problem
	}
	return engine{}, fmt.Errorf("no ClickHouse found: neither `clickhouse` on the PATH nor %s beside this program or on the PATH; "+
		"run `make clickhouse`, or install ClickHouse 26.5 or newer and set `binary` to its path", hostName)
}

func (f finder) libraryOf(host, library string) (string, error) {
	key := "library"
	if library == "" {
		key, library = libraryEnv, f.getenv(libraryEnv)
	}
	if library == "" {
		key, library = "library", filepath.Join(filepath.Dir(host), libraryName)
	}
	library, err := filepath.Abs(library)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(library)
	if err == nil && info.IsDir() {
		err = errors.New("it is a folder")
	}
	if err != nil {
		return "", fmt.Errorf("%s: no ClickHouse library at %q (%w): run `make clickhouse`, set `library` to the path of %s, or `binary` to an installed clickhouse", key, library, err, libraryName)
	}
	return library, nil
}

// arguments returns the command line after the program's name. No secret is in it. tcpPort is that behind the guard.
func (e engine) arguments(l layout, cfg Config, tcpPort int) []string {
	return append(append([]string{}, e.subcommand...),
		"--config-file="+l.config,
		"--path="+l.data,
		// Without it ClickHouse logs everything, whatever the configuration says.
		"--log-level=warning",
		"--listen_host="+loopback,
		fmt.Sprintf("--tcp_port=%d", tcpPort),
		fmt.Sprintf("--http_port=%d", cfg.HTTPPort),
		"--query", strings.Join(bootQueries(cfg), "; "))
}

// environment is all that ClickHouse gets to see: it looks for cloud credentials and the like by itself,
// and the collector's environment holds the password.
func (e engine) environment(getenv func(string) string) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SystemRoot"} {
		if value := getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	if e.library != "" {
		env = append(env, libraryEnv+"="+e.library)
	}
	return env
}
