// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command docgen writes what of docs/reference follows from the code: the keys of the components from their Config structs, the
// metrics from each metadata.yaml, the routes from the OpenAPI document. The page of tailctl is written in cmd/tailctl.
package main

//go:generate go run . ../..

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "docgen: wants one argument, the folder of the repository")
		os.Exit(2)
	}
	root := os.Args[1]
	all, err := pages(root)
	for name, text := range all {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, folder, name), []byte(text), 0o644))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

// folder of the pages.
const folder = "docs/reference"

// pages are the texts by the names of their files; none when one of them fails.
func pages(root string) (map[string]string, error) {
	all, err := find(root)
	if err != nil {
		return nil, err
	}
	keys, err := configuration(root, all)
	if err != nil {
		return nil, err
	}
	routes, err := rest(filepath.Join(root, "internal/restapi/openapi.yaml"))
	if err != nil {
		return nil, err
	}
	return map[string]string{"configuration.md": keys, "metrics.md": metrics(all), "rest-api.md": routes}, nil
}

// table writes a table of Markdown; bars in cells are escaped, empty tables are nothing.
func table(head []string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(row[i], "|", `\|`)
		}
		line(row)
	}
	return b.String() + "\n"
}
