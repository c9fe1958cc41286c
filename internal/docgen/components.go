// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.yaml.in/yaml/v3"

	"github.com/tailrace/tailrace/components"
)

// metadata is what is read of a metadata.yaml; the rest of it is mdatagen's.
type metadata struct {
	Type       string               `yaml:"type"`
	Attributes map[string]attribute `yaml:"attributes"`
	Metrics    map[string]metric    `yaml:"metrics"`
	Telemetry  struct {
		Metrics map[string]metric `yaml:"metrics"`
	} `yaml:"telemetry"`
	Status struct {
		Class string `yaml:"class"`
	} `yaml:"status"`
}

// found is a component of the tree.
type found struct {
	folder string // such as exporter/jsonlexporter
	meta   metadata
	config component.Config // nil for a component in a module of its own, which this one can't import
}

func (f found) title() string { return f.meta.Type + " (" + f.meta.Status.Class + ")" }

// readme is the link from docs/reference.
func (f found) readme() string { return "../../" + f.folder + "/README.md" }

// find brings the factories and the folders together; a component without the other is a mistake.
func find(root string) ([]found, error) {
	factories := map[string]component.Config{}
	for _, f := range components.Extensions() {
		factories["extension "+f.Type().String()] = f.CreateDefaultConfig()
	}
	for _, f := range components.Receivers() {
		factories["receiver "+f.Type().String()] = f.CreateDefaultConfig()
	}
	for _, f := range components.Processors() {
		factories["processor "+f.Type().String()] = f.CreateDefaultConfig()
	}
	for _, f := range components.Exporters() {
		factories["exporter "+f.Type().String()] = f.CreateDefaultConfig()
	}
	var all []found
	for _, kind := range []string{"extension", "receiver", "processor", "exporter"} {
		files, err := filepath.Glob(filepath.Join(root, kind, "*", "metadata.yaml"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			f := found{folder: kind + "/" + filepath.Base(filepath.Dir(file))}
			if err := yaml.Unmarshal(text, &f.meta); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			key := kind + " " + f.meta.Type
			config, ok := factories[key]
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), "go.mod")); err == nil {
				all = append(all, f)
				continue
			}
			if !ok {
				return nil, fmt.Errorf("%s: components/components.go has no %s", file, key)
			}
			delete(factories, key)
			f.config = config
			all = append(all, f)
		}
	}
	for key := range factories {
		return nil, fmt.Errorf("%s has no metadata.yaml below %ss' folder", key, strings.Fields(key)[0])
	}
	return all, nil
}
