// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/access"
)

// envTokens names the file of API tokens; without it the file is that of the shipped configurations.
const envTokens = "TAILRACE_TOKENS"

func newTokenCommand() *cobra.Command {
	flags := &tokenFlags{}
	command := &cobra.Command{
		Use: "token", Short: "Create, list and revoke API tokens of a console", Args: noSubcommand,
		Long: `API tokens let scripts and other programs into the console: Authorization: Bearer tlr_…

They lie in a file, as hashes; the console notices changes at once, and needs no restart. A token is shown when it is created,
and never again.`,
		Example: "  tailctl token create ci --project 'shop-*' --expires 90d\n  tailctl token list\n  tailctl token revoke ci",
		RunE:    func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.PersistentFlags().StringVar(&flags.file, "file", "",
		"the file, the key auth::tokens_file of the console (environment: "+envTokens+"; default $TAILRACE_DATA/tokens.json, ./data/tokens.json)")
	command.PersistentFlags().BoolVar(&flags.json, "json", false, "print JSON")
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &codeError{exitUsage, err} })
	command.AddCommand(newTokenCreateCommand(flags), newTokenListCommand(flags), newTokenRevokeCommand(flags))
	return command
}

type tokenFlags struct {
	file string
	json bool
}

func (f *tokenFlags) open() *access.TokenFile {
	path := f.file
	if path == "" {
		path = os.Getenv(envTokens)
	}
	if path == "" {
		data := os.Getenv("TAILRACE_DATA")
		if data == "" {
			data = "data"
		}
		path = filepath.Join(data, "tokens.json")
	}
	return access.NewTokenFile(path)
}

func newTokenCreateCommand(flags *tokenFlags) *cobra.Command {
	var projects []string
	var role, expires string
	command := &cobra.Command{
		Use: "create name", Short: "Create a token; it is printed once",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &codeError{exitUsage, fmt.Errorf("tailctl token create needs one name, such as ci, not %d", len(args))}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return createToken(command, flags, args[0], projects, role, expires)
		},
	}
	command.Flags().StringArrayVar(&projects, "project", nil, "a project, or a pattern with * such as 'shop-*'; several times for several; needed")
	command.Flags().StringVar(&role, "role", access.RoleViewer.String(), "viewer (reads) or operator (also changes)")
	command.Flags().StringVar(&expires, "expires", "90d", "when it ends: a duration such as 12h or 90d, a time such as 2027-01-31T00:00:00Z, or never")
	return command
}

func createToken(command *cobra.Command, flags *tokenFlags, name string, projects []string, role, expires string) error {
	if len(projects) == 0 {
		return &codeError{exitUsage, fmt.Errorf("which projects? --project shop, or --project '*' for all")}
	}
	now := time.Now()
	ends, err := parseExpires(expires, now)
	if err != nil {
		return &codeError{exitUsage, err}
	}
	patterns := make([]access.Pattern, len(projects))
	for i, p := range projects {
		patterns[i] = access.Pattern(p)
	}
	file := flags.open()
	token, secret, err := file.Create(name, role, patterns, ends)
	if err != nil {
		return err
	}
	if flags.json {
		return printJSON(command.OutOrStdout(), struct {
			shownToken
			Token string `json:"token"`
		}{toShown(token, now), secret})
	}
	fmt.Fprintln(command.OutOrStdout(), secret)
	fmt.Fprintf(command.ErrOrStderr(), "%s may %s in %s until %s. This is the only time that its token is shown; %s holds a hash.\n",
		token.Name, map[string]string{"viewer": "read", "operator": "read and operate"}[token.Role], joinPatterns(token.Projects), until(token), file.Path())
	return nil
}

// parseExpires reads when a token ends; the zero time is never.
func parseExpires(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	var d time.Duration
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err == nil {
			d = time.Duration(n) * 24 * time.Hour
		}
	} else if parsed, err := time.ParseDuration(text); err == nil {
		d = parsed
	}
	if d <= 0 {
		return time.Time{}, fmt.Errorf("--expires must be a duration such as 12h or 90d, a time such as 2027-01-31T00:00:00Z, or never, not %q", text)
	}
	return now.Add(d).Truncate(time.Second), nil
}

func newTokenListCommand(flags *tokenFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: noSubcommand,
		RunE: func(command *cobra.Command, _ []string) error {
			all, err := flags.open().List()
			if err != nil {
				return err
			}
			now := time.Now()
			if flags.json {
				shown := make([]shownToken, len(all))
				for i, t := range all {
					shown[i] = toShown(t, now)
				}
				return printJSON(command.OutOrStdout(), shown)
			}
			return table(command.OutOrStdout(), "NAME\tID\tROLE\tPROJECTS\tAGE\tEXPIRES", all, func(t access.Token) []string {
				ends := until(t)
				if t.Expired(now) {
					ends = "expired"
				}
				return []string{t.Name, t.ID, t.Role, joinPatterns(t.Projects), age(&t.Created), ends}
			})
		},
	}
}

func newTokenRevokeCommand(flags *tokenFlags) *cobra.Command {
	return &cobra.Command{
		Use: "revoke name|id...", Short: "Revoke tokens: they, and the sessions that were begun with them, are no good any more",
		Args: needTokens,
		RunE: func(command *cobra.Command, args []string) error {
			file := flags.open()
			for _, arg := range args {
				token, err := file.Revoke(arg)
				if err != nil {
					return err
				}
				fmt.Fprintf(command.ErrOrStderr(), "revoked %s (%s)\n", token.Name, token.ID)
			}
			return nil
		},
	}
}

func needTokens(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &codeError{exitUsage, fmt.Errorf("tailctl token revoke needs the name or id of a token; `tailctl token list` shows them")}
	}
	return nil
}

// shownToken is a token in JSON, without its hash.
type shownToken struct {
	ID       string           `json:"id"`
	Name     string           `json:"name"`
	Role     string           `json:"role"`
	Projects []access.Pattern `json:"projects"`
	Created  time.Time        `json:"created"`
	Expires  time.Time        `json:"expires,omitzero"`
	Expired  bool             `json:"expired"`
}

func toShown(t access.Token, now time.Time) shownToken {
	return shownToken{t.ID, t.Name, t.Role, slices.Clone(t.Projects), t.Created, t.Expires, t.Expired(now)}
}

func printJSON(to io.Writer, v any) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func joinPatterns(all []access.Pattern) string {
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = string(p)
	}
	return strings.Join(texts, ", ")
}

func until(t access.Token) string {
	if t.Expires.IsZero() {
		return "never"
	}
	return t.Expires.Format(time.RFC3339)
}
