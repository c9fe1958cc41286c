// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openapiYAML []byte

// document returns the OpenAPI document as JSON, with the paths of others.
func document(extra map[string]any) []byte {
	var doc map[string]any
	if err := yaml.Unmarshal(openapiYAML, &doc); err != nil {
		panic(fmt.Sprintf("openapi.yaml: %v", err)) // embedded: a test reads it
	}
	maps.Copy(doc["paths"].(map[string]any), extra)
	out, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("openapi.yaml: %v", err))
	}
	return out
}
