// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command tailrace-clickhouse is a ClickHouse process without an installed ClickHouse: it loads
// libchdb.so, which contains the whole engine, and hands it this process's command line, which is
// that of `clickhouse local`. It is a process of its own because ClickHouse brings its signal
// handlers, threads and memory tracker along.
//
// The library is searched in $TAILRACE_CLICKHOUSE_LIBRARY, then beside this program.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libraryEnv names the library explicitly.
const libraryEnv = "TAILRACE_CLICKHOUSE_LIBRARY"

func main() {
	code, err := run(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tailrace-clickhouse:", err)
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	path, err := library()
	if err != nil {
		return 1, err
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return 1, fmt.Errorf("load %s: %w", path, err)
	}
	// The engine's own --version prints it and then crashes.
	if len(args) == 2 && args[1] == "--version" {
		var version func() string
		purego.RegisterLibFunc(&version, handle, "chdb_version")
		fmt.Println("ClickHouse", version())
		return 0, nil
	}

	var cmdline func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	var resultError func(result unsafe.Pointer) string
	purego.RegisterLibFunc(&cmdline, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, handle, "chdb_result_error")

	// argv is what C expects: NUL-terminated strings and a final null pointer.
	argv := make([]*byte, 0, len(args)+1)
	for _, a := range args {
		argv = append(argv, &append([]byte(a), 0)[0])
	}
	argv = append(argv, nil)
	result := cmdline(int32(len(args)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if result == nil {
		return 1, errors.New("ClickHouse ended with an error")
	}
	// Some errors of the start are in the result and nowhere else. The others, and mistakes in queries,
	// ClickHouse tells by itself and does not count as failure.
	if message := resultError(result); message != "" {
		return 1, errors.New(message)
	}
	return 0, nil
}

func library() (string, error) {
	if path := os.Getenv(libraryEnv); path != "" {
		return path, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find my own path: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), "libchdb.so")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no ClickHouse library at %s: run `make clickhouse`, or set %s", path, libraryEnv)
	}
	return path, nil
}
