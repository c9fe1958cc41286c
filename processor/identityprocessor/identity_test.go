// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identityprocessor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/processor/identityprocessor/internal/metadata"
	"github.com/tailrace/tailrace/processor/identityprocessor/internal/metadatatest"
)

// runner stands for an extension that hands out tokens.
type runner struct {
	component.StartFunc
	component.ShutdownFunc
}

func (runner) ResolveToken(token string) (identity.Identity, bool) {
	return identity.Identity{Project: "R", Deployment: "d", Server: "child"}, token == "from-runner"
}

type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// authData is what an auth extension says.
type authData map[string]any

func (a authData) GetAttribute(name string) any { return a[name] }
func (a authData) GetAttributeNames() []string  { return nil }

func from(headers map[string][]string, auth client.AuthData) context.Context {
	return client.NewContext(context.Background(), client.Info{Metadata: client.NewMetadata(headers), Auth: auth})
}

func config(edit func(*Config)) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Tokens = []Token{{Token: "token-a", Identity: identity.Identity{Project: "A"}}}
	cfg.TokenResolvers = []component.ID{component.MustNewID("runner")}
	if edit != nil {
		edit(cfg)
	}
	return cfg
}

// spans makes a request with one resource per project, of n spans each; "" claims nothing.
func spans(n int, projects ...string) ptrace.Traces {
	td := ptrace.NewTraces()
	for _, p := range projects {
		rs := td.ResourceSpans().AppendEmpty()
		if p != "" {
			rs.Resource().Attributes().PutStr("project.id", p)
		}
		ss := rs.ScopeSpans().AppendEmpty().Spans()
		for range n {
			ss.AppendEmpty()
		}
	}
	return td
}

// sealing hands on and then forbids every change, as a consumer that kept the data would need it.
type sealing struct {
	consumertest.TracesSink
	err error
}

func (s *sealing) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	td.MarkReadOnly()
	return errors.Join(s.err, s.TracesSink.ConsumeTraces(ctx, td))
}

func (s *sealing) projects() (out []string) {
	for _, td := range s.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			out = append(out, identity.FromResource(rs.Resource().Attributes()).Project)
		}
	}
	return out
}

func start(t *testing.T, cfg *Config, next consumer.Traces, telemetry *componenttest.Telemetry) consumer.Traces {
	t.Helper()
	require.NoError(t, cfg.Validate())
	set := processortest.NewNopSettings(metadata.Type)
	if telemetry != nil {
		set.TelemetrySettings = telemetry.NewTelemetrySettings()
	}
	p, err := NewFactory().CreateTraces(t.Context(), set, cfg, next)
	require.NoError(t, err)
	assert.True(t, p.Capabilities().MutatesData)
	require.NoError(t, p.Start(t.Context(), host{component.MustNewID("runner"): runner{}}))
	t.Cleanup(func() {
		assert.NoError(t, p.Shutdown(context.Background()))
		assert.NoError(t, p.Shutdown(context.Background()))
	})
	return p
}

func TestCredentials(t *testing.T) {
	header := func(v ...string) map[string][]string { return map[string][]string{"X-Tailrace-Token": v} }
	bearer := func(v string) map[string][]string { return map[string][]string{"Authorization": {v}} }
	require1 := func(c *Config) { c.RequireToken = true }
	ignore := func(c *Config) { c.OnUnknownToken = unknownIgnore }
	byAuth := func(c *Config) { c.AuthAttributes.Project = "tenant" }
	for name, tc := range map[string]struct {
		edit    func(*Config)
		headers map[string][]string
		auth    client.AuthData
		claim   string
		want    string // project, or the beginning of the error's text
		code    codes.Code
	}{
		"none":                       {want: "default"},
		"claim":                      {claim: "p", want: "p"},
		"own header":                 {headers: header("token-a"), want: "A"},
		"given twice":                {headers: header("token-a", "token-a"), want: "A"},
		"two tokens":                 {headers: header("token-a", "from-runner"), want: "header x-tailrace-token is given more than once", code: codes.Unauthenticated},
		"from an extension":          {headers: header("from-runner"), want: "R"},
		"bearer":                     {headers: bearer("Bearer token-a"), want: "A"},
		"bearer, any case":           {headers: bearer("bearer  from-runner"), want: "R"},
		"own header before bearer":   {headers: map[string][]string{"x-tailrace-token": {"token-a"}, "authorization": {"Bearer from-runner"}}, want: "A"},
		"unknown bearer":             {headers: bearer("Bearer other"), claim: "p", want: "p"},
		"basic":                      {headers: bearer("Basic token-a"), want: "default"},
		"unknown":                    {headers: header("wrong"), want: "the token in header x-tailrace-token is not known", code: codes.Unauthenticated},
		"empty":                      {headers: header(""), want: "the token in header x-tailrace-token is not known", code: codes.Unauthenticated},
		"unknown, ignored":           {edit: ignore, headers: header("wrong"), claim: "p", want: "p"},
		"required, none":             {edit: require1, claim: "p", want: "a token is required", code: codes.Unauthenticated},
		"required, unknown bearer":   {edit: require1, headers: bearer("Bearer other"), want: "a token is required", code: codes.Unauthenticated},
		"required, given":            {edit: require1, headers: bearer("Bearer token-a"), want: "A"},
		"contradiction":              {headers: header("token-a"), claim: "B", want: `project.id: the sender's token is for "A", but the resource claims "B"`, code: codes.PermissionDenied},
		"the same claim":             {headers: header("token-a"), claim: "A", want: "A"},
		"auth":                       {edit: byAuth, auth: authData{"tenant": "T"}, want: "T"},
		"auth, a list of one":        {edit: byAuth, auth: authData{"tenant": []string{"T"}}, want: "T"},
		"auth, a list":               {edit: byAuth, auth: authData{"tenant": []string{"T", "U"}}, want: `the authentication's attribute "tenant" holds 2 values`, code: codes.PermissionDenied},
		"auth, nothing":              {edit: byAuth, auth: authData{}, claim: "p", want: "p"},
		"auth against claim":         {edit: byAuth, auth: authData{"tenant": "T"}, claim: "p", want: `project.id: the sender's auth is for "T"`, code: codes.PermissionDenied},
		"auth against token":         {edit: byAuth, auth: authData{"tenant": "T"}, headers: header("token-a"), want: `project.id: the sender's token is for "A", but its authentication says "T"`, code: codes.PermissionDenied},
		"auth that is not looked at": {auth: authData{"tenant": "T"}, want: "default"},
		"no project, no default":     {edit: func(c *Config) { c.DefaultProject = "" }, want: "no project.id", code: codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			var next sealing
			err := start(t, config(tc.edit), &next, nil).ConsumeTraces(from(tc.headers, tc.auth), spans(1, tc.claim))
			if tc.code == codes.OK {
				require.NoError(t, err)
				assert.Equal(t, []string{tc.want}, next.projects())
				return
			}
			require.True(t, consumererror.IsPermanent(err), err)
			st, ok := status.FromError(err)
			require.True(t, ok)
			assert.Equal(t, tc.code, st.Code())
			assert.Contains(t, st.Message(), tc.want)
			assert.NotContains(t, st.Message(), "token-a")
			assert.Empty(t, next.AllTraces())
		})
	}
}

func TestThePartThatIsGoodGoesThrough(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	var next sealing
	p := start(t, config(nil), &next, telemetry)
	ctx := from(map[string][]string{identity.MetadataToken: {"token-a"}}, nil)

	err := p.ConsumeTraces(ctx, spans(2, "A", "B", "", "C"))
	require.ErrorContains(t, err, `2 of 4 resources refused, with 4 of 8 records (the others were accepted: do not send them again); the first: project.id: the sender's token is for "A", but the resource claims "B"`)
	assert.Equal(t, codes.PermissionDenied, status.Code(errors.Unwrap(err)))
	assert.True(t, consumererror.IsPermanent(err))
	assert.Equal(t, []string{"A", "A"}, next.projects())

	ignore := metricdatatest.IgnoreTimestamp()
	label := func(kv ...string) attribute.Set {
		return attribute.NewSet(attribute.String("otel.signal", "traces"), attribute.String(kv[0], kv[1]))
	}
	metadatatest.AssertEqualIdentityRecords(t, telemetry, []metricdata.DataPoint[int64]{{Value: 4, Attributes: label("source", "token")}}, ignore)
	metadatatest.AssertEqualIdentityRefusedRecords(t, telemetry, []metricdata.DataPoint[int64]{{Value: 4, Attributes: label("reason", "contradiction")}}, ignore)

	// When the next consumer asks for all of it again, that is what the sender must hear.
	next.err = errors.New("disk full")
	err = p.ConsumeTraces(ctx, spans(1, "A", "B"))
	require.ErrorContains(t, err, "disk full")
	assert.False(t, consumererror.IsPermanent(err))
}

func TestNoProjectOfAnySenderIsTooStrange(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	var next sealing
	p := start(t, config(nil), &next, telemetry)
	require.NoError(t, p.ConsumeTraces(context.Background(), spans(1, "../../etc", strings.Repeat("x", 4000), "a\x00\xff", " ")))
	got := next.projects()
	require.Len(t, got, 4)
	assert.Equal(t, "../../etc", got[0])
	assert.Len(t, got[1], identity.MaxBytes)
	assert.Equal(t, "a\ufffd\ufffd", got[2])
	assert.Equal(t, "default", got[3])
	metadatatest.AssertEqualIdentityIdsRepaired(t, telemetry, []metricdata.DataPoint[int64]{
		{Value: 2, Attributes: attribute.NewSet(attribute.String("otel.signal", "traces"))}}, metricdatatest.IgnoreTimestamp())
}

func TestStartNamesWhatIsMissing(t *testing.T) {
	cfg := config(func(c *Config) {
		c.TokenResolvers = []component.ID{component.MustNewID("runner"), component.MustNewID("health_check")}
	})
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	type other struct {
		component.StartFunc
		component.ShutdownFunc
	}
	err = p.Start(t.Context(), host{component.MustNewID("health_check"): other{}})
	require.ErrorContains(t, err, "token_resolvers[0]: there is no extension runner")
	require.ErrorContains(t, err, "token_resolvers[1]: extension health_check does not know tokens")
	require.NoError(t, p.Shutdown(t.Context()))
}

func TestLogsAreStamped(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	set := processortest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	var sink consumertest.LogsSink
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		ld.MarkReadOnly()
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	p, err := NewFactory().CreateLogs(t.Context(), set, createDefaultConfig(), next)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, p.Shutdown(context.Background())) }()

	ld := logsOf(2, 3)
	first := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	first.Attributes().PutStr(identity.AttrLogUID, "mine")
	first.SetEventName(identity.EventServerHealth)
	require.NoError(t, p.ConsumeLogs(t.Context(), ld))

	seen := map[string]bool{}
	last := ""
	for _, rl := range sink.AllLogs()[0].ResourceLogs().All() {
		project, _ := rl.Resource().Attributes().Get("project.id")
		assert.Equal(t, "default", project.Str())
		for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
			uid, ok := record.Attributes().Get(identity.AttrLogUID)
			require.True(t, ok)
			assert.False(t, seen[uid.Str()])
			seen[uid.Str()] = true
			if uid.Str() != "mine" {
				assert.Greater(t, uid.Str(), last, "in the order of the records")
				last = uid.Str()
			}
		}
	}
	assert.Len(t, seen, 6)
	assert.True(t, seen["mine"])
	name, ok := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().Get(identity.AttrEventName)
	require.True(t, ok)
	assert.Equal(t, identity.EventServerHealth, name.Str())
	metadatatest.AssertEqualIdentityUidsStamped(t, telemetry, []metricdata.DataPoint[int64]{
		{Value: 5, Attributes: attribute.NewSet(attribute.String("otel.signal", "logs"))}}, metricdatatest.IgnoreTimestamp())
}

func TestMetricsOfAllKinds(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	set := processortest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	var sink consumertest.MetricsSink
	p, err := NewFactory().CreateMetrics(t.Context(), set, config(func(c *Config) { c.TokenResolvers = nil }), &sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, p.Shutdown(context.Background())) }()

	md := pmetric.NewMetrics()
	for _, project := range []string{"A", "B"} {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("project.id", project)
		ms := rm.ScopeMetrics().AppendEmpty().Metrics()
		ms.AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
		ms.AppendEmpty().SetEmptySum().DataPoints().AppendEmpty()
		ms.AppendEmpty().SetEmptyHistogram().DataPoints().AppendEmpty()
		ms.AppendEmpty().SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
		ms.AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty()
		ms.AppendEmpty()
	}
	err = p.ConsumeMetrics(from(map[string][]string{identity.MetadataToken: {"token-a"}}, nil), md)
	require.ErrorContains(t, err, "1 of 2 resources refused, with 5 of 10 records")
	require.Len(t, sink.AllMetrics(), 1)
	assert.Equal(t, 1, sink.AllMetrics()[0].ResourceMetrics().Len())
}

func logsOf(resources, records int) plog.Logs {
	ld := plog.NewLogs()
	for range resources {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", "agent")
		lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := range records {
			lr := lrs.AppendEmpty()
			lr.Body().SetStr(fmt.Sprintf("line %d", i))
			lr.Attributes().PutStr("log.iostream", "stdout")
			lr.Attributes().PutInt("process.pid", 42)
		}
	}
	return ld
}

// What identity adds to each record on its way; the requests are copied outside of the clock.
func BenchmarkLogs(b *testing.B) {
	const records = 1000
	for name, uid := range map[string]bool{"stamped": false, "with uid": true} {
		b.Run(name, func(b *testing.B) {
			base := logsOf(1, records)
			if uid {
				for _, lr := range base.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
					lr.Attributes().PutStr(identity.AttrLogUID, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
				}
			}
			p, err := NewFactory().CreateLogs(context.Background(), processortest.NewNopSettings(metadata.Type), createDefaultConfig(), consumertest.NewNop())
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				ld := plog.NewLogs()
				base.CopyTo(ld)
				b.StartTimer()
				if err := p.ConsumeLogs(context.Background(), ld); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
		})
	}
}

func BenchmarkTraces(b *testing.B) {
	const records = 100
	cfg := createDefaultConfig().(*Config)
	cfg.Tokens = []Token{{Token: "token-a", Identity: identity.Identity{Project: "A"}}}
	p, err := NewFactory().CreateTraces(context.Background(), processortest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(b, err)
	ctx := from(map[string][]string{identity.MetadataToken: {"token-a"}}, nil)
	td := spans(records, "A")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.ConsumeTraces(ctx, td); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
}
