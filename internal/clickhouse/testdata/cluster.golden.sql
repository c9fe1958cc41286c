CREATE TABLE IF NOT EXISTS `tail-race`.tailrace_migrations (
    number UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'), version String
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/all/tail-race/tailrace_migrations', '{shard}_{replica}')
ORDER BY number;

CREATE TABLE IF NOT EXISTS `tail-race`.tailrace_migrations_lock (
    owner String, seq UInt64, released Bool, beat DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/all/tail-race/tailrace_migrations_lock', '{shard}_{replica}')
ORDER BY (owner, seq) TTL toDateTime(beat) + INTERVAL 1 DAY;

DROP VIEW IF EXISTS `tail-race`.otel_traces_trace_id_ts_mv SYNC;

/* otel_traces of a single server is refused */;

/* otel_traces_trace_id_ts of a single server is refused */;

/* otel_logs of a single server is refused */;

/* otel_metrics_gauge of a single server is refused */;

/* otel_metrics_sum of a single server is refused */;

/* otel_metrics_histogram of a single server is refused */;

/* otel_metrics_exponential_histogram of a single server is refused */;

/* otel_metrics_summary of a single server is refused */;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_traces_local (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    ProjectId LowCardinality(String) MATERIALIZED ResourceAttributes['project.id'] CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.id'] CODEC(ZSTD(1)),
    ServerId LowCardinality(String) MATERIALIZED ResourceAttributes['server.id'] CODEC(ZSTD(1)),
    BuildId LowCardinality(String) MATERIALIZED ResourceAttributes['build.id'] CODEC(ZSTD(1)),
    AttributePairs Array(String) ALIAS arrayFilter(pair -> length(pair) <= 128, arrayMap((k, v) -> concat(k, '=', v), mapKeys(SpanAttributes), mapValues(SpanAttributes))),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attribute_pairs arrayFilter(pair -> length(pair) <= 128, arrayMap((k, v) -> concat(k, '=', v), mapKeys(SpanAttributes), mapValues(SpanAttributes))) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_server ServerId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1,
    INDEX idx_time Timestamp TYPE minmax GRANULARITY 1
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_traces', '{replica}')
PARTITION BY toDate(Timestamp)
ORDER BY (ProjectId, Timestamp)
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_traces AS `tail-race`.otel_traces_local
ENGINE = Distributed('prod', 'tail-race', 'otel_traces_local', cityHash64(TraceId));

CREATE TABLE IF NOT EXISTS `tail-race`.otel_traces_trace_id_ts_local (
    TraceId String CODEC(ZSTD(1)),
    ProjectId LowCardinality(String) CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime) CODEC(Delta, ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime) CODEC(Delta, ZSTD(1))
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/tail-race/otel_traces_trace_id_ts', '{replica}')
PARTITION BY toYYYYMM(Start)
ORDER BY (TraceId, ProjectId)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_traces_trace_id_ts AS `tail-race`.otel_traces_trace_id_ts_local
ENGINE = Distributed('prod', 'tail-race', 'otel_traces_trace_id_ts_local', cityHash64(TraceId));

CREATE MATERIALIZED VIEW IF NOT EXISTS `tail-race`.otel_traces_trace_times_mv
TO `tail-race`.otel_traces_trace_id_ts_local
AS SELECT TraceId, ProjectId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) + 1 AS End
FROM `tail-race`.otel_traces_local
WHERE TraceId != ''
GROUP BY TraceId, ProjectId;

CREATE TABLE IF NOT EXISTS `tail-race`.trace_states_local (
    ProjectId LowCardinality(String) CODEC(ZSTD(1)),
    Hour DateTime('UTC') CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) CODEC(ZSTD(1)),
    ServerId LowCardinality(String) CODEC(ZSTD(1)),
    BuildId LowCardinality(String) CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    UnsetIds SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'hashes of the ids of spans with this status' CODEC(LZ4),
    OkIds SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) CODEC(LZ4),
    ErrorIds SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) CODEC(LZ4),
    HasRoot SimpleAggregateFunction(max, UInt8) CODEC(ZSTD(1)),
    RootStatus SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    RootName SimpleAggregateFunction(max, LowCardinality(String)) CODEC(ZSTD(1)),
    RootDuration SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    Usage SimpleAggregateFunction(groupUniqArrayArray, Array(Tuple(
        SpanId UInt64, Provider String, Model String, InputTokens UInt64, OutputTokens UInt64, CacheReadTokens UInt64, ReasoningTokens UInt64))) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/tail-race/trace_states', '{replica}')
PARTITION BY toDate(Hour)
ORDER BY (ProjectId, Hour, TraceId, ServiceName, DeploymentId, ServerId, BuildId)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.trace_states AS `tail-race`.trace_states_local
ENGINE = Distributed('prod', 'tail-race', 'trace_states_local', cityHash64(TraceId));

CREATE MATERIALIZED VIEW IF NOT EXISTS `tail-race`.trace_states_mv
TO `tail-race`.trace_states_local
AS SELECT ProjectId, toStartOfHour(toDateTime(Timestamp, 'UTC')) AS Hour, TraceId, ServiceName, DeploymentId, ServerId, BuildId,
    min(Timestamp) AS Start,
    max(addNanoseconds(Timestamp, toInt64(least(Duration, 1000000000000000000)))) AS End,
    groupUniqArrayIf(cityHash64(SpanId), StatusCode NOT IN ('Ok', 'Error')) AS UnsetIds,
    groupUniqArrayIf(cityHash64(SpanId), StatusCode = 'Ok') AS OkIds,
    groupUniqArrayIf(cityHash64(SpanId), StatusCode = 'Error') AS ErrorIds,
    max(toUInt8(ParentSpanId = '')) AS HasRoot,
    max(if(ParentSpanId = '', StatusCode, '')) AS RootStatus,
    max(if(ParentSpanId = '', SpanName, '')) AS RootName,
    max(if(ParentSpanId = '', Duration, 0)) AS RootDuration,
    groupUniqArrayArray(if(SpanAttributes['gen_ai.operation.name'] IN ('chat', 'text_completion', 'generate_content', 'embeddings')
        AND (mapContains(SpanAttributes, 'gen_ai.usage.input_tokens') OR mapContains(SpanAttributes, 'gen_ai.usage.output_tokens')),
        [tuple(cityHash64(SpanId),
        if(SpanAttributes['gen_ai.provider.name'] != '', SpanAttributes['gen_ai.provider.name'], SpanAttributes['gen_ai.system']),
        if(SpanAttributes['gen_ai.response.model'] != '', SpanAttributes['gen_ai.response.model'], SpanAttributes['gen_ai.request.model']),
        toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens']), toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens']),
        toUInt64OrZero(SpanAttributes['gen_ai.usage.cache_read.input_tokens']), toUInt64OrZero(SpanAttributes['gen_ai.usage.reasoning_tokens']))], [])) AS Usage
FROM `tail-race`.otel_traces_local
WHERE TraceId != ''
GROUP BY ProjectId, Hour, TraceId, ServiceName, DeploymentId, ServerId, BuildId;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_logs_local (
    `Timestamp` DateTime64(9) COMMENT 'Event timestamp with nanosecond precision' CODEC(Delta(8), ZSTD(1)),
    `TraceId` String COMMENT 'W3C trace identifier' CODEC(ZSTD(1)),
    `SpanId` String COMMENT 'W3C span identifier' CODEC(ZSTD(1)),
    `TraceFlags` UInt8 COMMENT 'W3C trace flags',
    `SeverityText` LowCardinality(String) COMMENT 'Log severity as text' CODEC(ZSTD(1)),
    `SeverityNumber` UInt8 COMMENT 'Log severity as number (1-24)',
    `ServiceName` LowCardinality(String) COMMENT 'Service that emitted the log' CODEC(ZSTD(1)),
    `Body` String COMMENT 'Log message body' CODEC(ZSTD(3)),
    `ResourceSchemaUrl` LowCardinality(String) COMMENT 'Schema URL for the resource' CODEC(ZSTD(1)),
    `ResourceAttributes` Map(LowCardinality(String), String) COMMENT 'Resource attributes as key-value pairs' CODEC(ZSTD(1)),
    `ScopeSchemaUrl` LowCardinality(String) COMMENT 'Schema URL for the instrumentation scope' CODEC(ZSTD(1)),
    `ScopeName` String COMMENT 'Instrumentation scope name' CODEC(ZSTD(1)),
    `ScopeVersion` LowCardinality(String) COMMENT 'Instrumentation scope version' CODEC(ZSTD(1)),
    `ScopeAttributes` Map(LowCardinality(String), String) COMMENT 'Instrumentation scope attributes' CODEC(ZSTD(1)),
    `LogAttributes` Map(LowCardinality(String), String) COMMENT 'Log record attributes' CODEC(ZSTD(1)),
    `EventName` String DEFAULT LogAttributes['event.name'] COMMENT 'Event name for log records representing events' CODEC(ZSTD(1)),
    `__otel_materialized_k8s.cluster.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.cluster.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.container.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.container.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.deployment.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.deployment.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.namespace.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.namespace.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.node.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.node.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.pod.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.pod.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.pod.uid` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.pod.uid'] CODEC(ZSTD(1)),
    `__otel_materialized_deployment.environment.name` LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.environment.name'] CODEC(ZSTD(1)),
    ProjectId LowCardinality(String) MATERIALIZED ResourceAttributes['project.id'] CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.id'] CODEC(ZSTD(1)),
    ServerId LowCardinality(String) MATERIALIZED ResourceAttributes['server.id'] CODEC(ZSTD(1)),
    BuildId LowCardinality(String) MATERIALIZED ResourceAttributes['build.id'] CODEC(ZSTD(1)),
    Uid String MATERIALIZED LogAttributes['log.record.uid'] CODEC(ZSTD(1)),
    AttributePairs Array(String) ALIAS arrayFilter(pair -> length(pair) <= 128 AND NOT startsWith(pair, 'log.record.uid='), arrayMap((k, v) -> concat(k, '=', v), mapKeys(LogAttributes), mapValues(LogAttributes))),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attribute_pairs arrayFilter(pair -> length(pair) <= 128 AND NOT startsWith(pair, 'log.record.uid='), arrayMap((k, v) -> concat(k, '=', v), mapKeys(LogAttributes), mapValues(LogAttributes))) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_uid Uid TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_server ServerId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_build BuildId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_lower_body lower(Body) TYPE tokenbf_v1(16384, 2, 0) GRANULARITY 1,
    INDEX idx_time Timestamp TYPE minmax GRANULARITY 1
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_logs', '{replica}')
PARTITION BY toDate(Timestamp)
ORDER BY (ProjectId, Timestamp)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_logs AS `tail-race`.otel_logs_local
ENGINE = Distributed('prod', 'tail-race', 'otel_logs_local', cityHash64(LogAttributes['log.record.uid'], Timestamp));

CREATE TABLE IF NOT EXISTS `tail-race`.log_states_local (
    ProjectId LowCardinality(String) CODEC(ZSTD(1)),
    Bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) CODEC(ZSTD(1)),
    ServerId LowCardinality(String) CODEC(ZSTD(1)),
    BuildId LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8 CODEC(ZSTD(1)),
    Uids SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) CODEC(LZ4),
    WithoutUid SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1))
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/tail-race/log_states', '{replica}')
PARTITION BY toDate(Bucket)
ORDER BY (ProjectId, Bucket, ServiceName, DeploymentId, ServerId, BuildId, SeverityNumber)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.log_states AS `tail-race`.log_states_local
ENGINE = Distributed('prod', 'tail-race', 'log_states_local', cityHash64(ProjectId));

CREATE MATERIALIZED VIEW IF NOT EXISTS `tail-race`.log_states_mv
TO `tail-race`.log_states_local
AS SELECT ProjectId, toStartOfFiveMinutes(toDateTime(Timestamp, 'UTC')) AS Bucket, ServiceName, DeploymentId, ServerId, BuildId, SeverityNumber,
    groupUniqArrayIf(cityHash64(Uid), Uid != '') AS Uids, countIf(Uid = '') AS WithoutUid
FROM `tail-race`.otel_logs_local
GROUP BY ProjectId, Bucket, ServiceName, DeploymentId, ServerId, BuildId, SeverityNumber;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_scores_local (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    ProjectId LowCardinality(String) CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) CODEC(ZSTD(1)),
    ServerId LowCardinality(String) CODEC(ZSTD(1)),
    BuildId LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Uid String CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    Name LowCardinality(String) COMMENT 'gen_ai.evaluation.name' CODEC(ZSTD(1)),
    Value Nullable(Float64) COMMENT 'gen_ai.evaluation.score.value; NULL when there is none' CODEC(ZSTD(1)),
    Label LowCardinality(String) COMMENT 'gen_ai.evaluation.score.label' CODEC(ZSTD(1)),
    Explanation String COMMENT 'gen_ai.evaluation.explanation' CODEC(ZSTD(3)),
    Attributes Map(LowCardinality(String), String) COMMENT 'all attributes of the log record' CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_scores', '{replica}')
PARTITION BY toDate(Timestamp)
ORDER BY (ProjectId, Name, Timestamp)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_scores AS `tail-race`.otel_scores_local
ENGINE = Distributed('prod', 'tail-race', 'otel_scores_local', cityHash64(ProjectId));

CREATE MATERIALIZED VIEW IF NOT EXISTS `tail-race`.otel_scores_mv
TO `tail-race`.otel_scores_local
AS SELECT Timestamp, ProjectId, DeploymentId, ServerId, BuildId, ServiceName, Uid, TraceId, SpanId,
    LogAttributes['gen_ai.evaluation.name'] AS Name,
    toFloat64OrNull(LogAttributes['gen_ai.evaluation.score.value']) AS Value,
    LogAttributes['gen_ai.evaluation.score.label'] AS Label,
    LogAttributes['gen_ai.evaluation.explanation'] AS Explanation,
    mapFilter((k, v) -> k NOT IN ('event.name', 'log.record.uid', 'gen_ai.evaluation.name', 'gen_ai.evaluation.score.value',
        'gen_ai.evaluation.score.label', 'gen_ai.evaluation.explanation'), LogAttributes) AS Attributes
FROM `tail-race`.otel_logs_local
WHERE EventName = 'gen_ai.evaluation.result';

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_gauge_local (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription String CODEC(ZSTD(1)),
    MetricUnit String CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime CODEC(Delta, ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime,
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    ProjectId LowCardinality(String) MATERIALIZED ResourceAttributes['project.id'] CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.id'] CODEC(ZSTD(1)),
    ServerId LowCardinality(String) MATERIALIZED ResourceAttributes['server.id'] CODEC(ZSTD(1)),
    BuildId LowCardinality(String) MATERIALIZED ResourceAttributes['build.id'] CODEC(ZSTD(1))
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_metrics_gauge', '{replica}')
PARTITION BY toDate(TimeUnix)
ORDER BY (ProjectId, MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_gauge AS `tail-race`.otel_metrics_gauge_local
ENGINE = Distributed('prod', 'tail-race', 'otel_metrics_gauge_local', cityHash64(ServiceName, MetricName));

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_sum_local (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription String CODEC(ZSTD(1)),
    MetricUnit String CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime CODEC(Delta, ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime,
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    AggregationTemporality Int32 CODEC(ZSTD(1)),
    IsMonotonic Boolean CODEC(Delta, ZSTD(1)),
    ProjectId LowCardinality(String) MATERIALIZED ResourceAttributes['project.id'] CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.id'] CODEC(ZSTD(1)),
    ServerId LowCardinality(String) MATERIALIZED ResourceAttributes['server.id'] CODEC(ZSTD(1)),
    BuildId LowCardinality(String) MATERIALIZED ResourceAttributes['build.id'] CODEC(ZSTD(1))
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_metrics_sum', '{replica}')
PARTITION BY toDate(TimeUnix)
ORDER BY (ProjectId, MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_sum AS `tail-race`.otel_metrics_sum_local
ENGINE = Distributed('prod', 'tail-race', 'otel_metrics_sum_local', cityHash64(ServiceName, MetricName));

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_histogram_local (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription String CODEC(ZSTD(1)),
    MetricUnit String CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime CODEC(Delta, ZSTD(1)),
    Count UInt64 CODEC(Delta, ZSTD(1)),
    Sum Float64 CODEC(ZSTD(1)),
    BucketCounts Array(UInt64) CODEC(ZSTD(1)),
    ExplicitBounds Array(Float64) CODEC(ZSTD(1)),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime,
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Min Float64 CODEC(ZSTD(1)),
    Max Float64 CODEC(ZSTD(1)),
    AggregationTemporality Int32 CODEC(ZSTD(1)),
    ProjectId LowCardinality(String) MATERIALIZED ResourceAttributes['project.id'] CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.id'] CODEC(ZSTD(1)),
    ServerId LowCardinality(String) MATERIALIZED ResourceAttributes['server.id'] CODEC(ZSTD(1)),
    BuildId LowCardinality(String) MATERIALIZED ResourceAttributes['build.id'] CODEC(ZSTD(1))
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_metrics_histogram', '{replica}')
PARTITION BY toDate(TimeUnix)
ORDER BY (ProjectId, MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_histogram AS `tail-race`.otel_metrics_histogram_local
ENGINE = Distributed('prod', 'tail-race', 'otel_metrics_histogram_local', cityHash64(ServiceName, MetricName));

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_exponential_histogram_local (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription String CODEC(ZSTD(1)),
    MetricUnit String CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime CODEC(Delta, ZSTD(1)),
    Count UInt64 CODEC(Delta, ZSTD(1)),
    Sum Float64 CODEC(ZSTD(1)),
    Scale Int32 CODEC(ZSTD(1)),
    ZeroCount UInt64 CODEC(ZSTD(1)),
    PositiveOffset Int32 CODEC(ZSTD(1)),
    PositiveBucketCounts Array(UInt64) CODEC(ZSTD(1)),
    NegativeOffset Int32 CODEC(ZSTD(1)),
    NegativeBucketCounts Array(UInt64) CODEC(ZSTD(1)),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime,
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Min Float64 CODEC(ZSTD(1)),
    Max Float64 CODEC(ZSTD(1)),
    AggregationTemporality Int32 CODEC(ZSTD(1)),
    ProjectId LowCardinality(String) MATERIALIZED ResourceAttributes['project.id'] CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.id'] CODEC(ZSTD(1)),
    ServerId LowCardinality(String) MATERIALIZED ResourceAttributes['server.id'] CODEC(ZSTD(1)),
    BuildId LowCardinality(String) MATERIALIZED ResourceAttributes['build.id'] CODEC(ZSTD(1))
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_metrics_exponential_histogram', '{replica}')
PARTITION BY toDate(TimeUnix)
ORDER BY (ProjectId, MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_exponential_histogram AS `tail-race`.otel_metrics_exponential_histogram_local
ENGINE = Distributed('prod', 'tail-race', 'otel_metrics_exponential_histogram_local', cityHash64(ServiceName, MetricName));

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_summary_local (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription String CODEC(ZSTD(1)),
    MetricUnit String CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime CODEC(Delta, ZSTD(1)),
    Count UInt64 CODEC(Delta, ZSTD(1)),
    Sum Float64 CODEC(ZSTD(1)),
    ValueAtQuantiles Nested(
        Quantile Float64,
        Value Float64
    ) CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    ProjectId LowCardinality(String) MATERIALIZED ResourceAttributes['project.id'] CODEC(ZSTD(1)),
    DeploymentId LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.id'] CODEC(ZSTD(1)),
    ServerId LowCardinality(String) MATERIALIZED ResourceAttributes['server.id'] CODEC(ZSTD(1)),
    BuildId LowCardinality(String) MATERIALIZED ResourceAttributes['build.id'] CODEC(ZSTD(1))
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/tail-race/otel_metrics_summary', '{replica}')
PARTITION BY toDate(TimeUnix)
ORDER BY (ProjectId, MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `tail-race`.otel_metrics_summary AS `tail-race`.otel_metrics_summary_local
ENGINE = Distributed('prod', 'tail-race', 'otel_metrics_summary_local', cityHash64(ServiceName, MetricName));

CREATE TABLE IF NOT EXISTS `tail-race`.model_prices (
    Version UInt64,
    Provider String COMMENT 'empty: any',
    Model String COMMENT 'a name, or its beginning followed by *',
    Since DateTime('UTC'),
    Input Float64 COMMENT 'for a million tokens',
    Output Float64,
    CacheRead Float64
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/all/tail-race/model_prices', '{shard}_{replica}')
ORDER BY (Version, Model, Provider, Since)
SETTINGS replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800;

CREATE VIEW IF NOT EXISTS `tail-race`.usage_hourly AS
WITH (SELECT groupArray((trimRight(Model, '*'), endsWith(Model, '*'), Provider, Since, Input, Output, CacheRead)) FROM (
    SELECT * FROM `tail-race`.model_prices WHERE Version = (SELECT max(Version) FROM `tail-race`.model_prices)
    ORDER BY length(trimRight(Model, '*')) DESC, endsWith(Model, '*'), Provider = '', Since DESC)) AS prices
SELECT ProjectId, Hour, ServiceName, DeploymentId, ServerId, BuildId, Provider, Model, Calls, InputTokens, OutputTokens, CacheReadTokens, ReasoningTokens,
    if(price.1 = '' AND NOT price.2, NULL, ((InputTokens - least(CacheReadTokens, InputTokens)) * price.5 + least(CacheReadTokens, InputTokens) * price.7 + OutputTokens * price.6) / 1000000) AS Cost
FROM (SELECT *, arrayFirst(p -> if(p.2, startsWith(Model, p.1), Model = p.1) AND (p.3 = '' OR p.3 = Provider) AND p.4 <= Hour, prices) AS price
FROM (
    SELECT ProjectId, Hour, ServiceName, DeploymentId, ServerId, BuildId, u.Provider AS Provider, u.Model AS Model, count() AS Calls,
        sum(u.InputTokens) AS InputTokens, sum(u.OutputTokens) AS OutputTokens, sum(u.CacheReadTokens) AS CacheReadTokens, sum(u.ReasoningTokens) AS ReasoningTokens
    FROM `tail-race`.trace_states FINAL ARRAY JOIN Usage AS u
    GROUP BY ProjectId, Hour, ServiceName, DeploymentId, ServerId, BuildId, Provider, Model
));

CREATE VIEW IF NOT EXISTS `tail-race`.trace_summaries AS
WITH (SELECT groupArray((trimRight(Model, '*'), endsWith(Model, '*'), Provider, Since, Input, Output, CacheRead)) FROM (
    SELECT * FROM `tail-race`.model_prices WHERE Version = (SELECT max(Version) FROM `tail-race`.model_prices)
    ORDER BY length(trimRight(Model, '*')) DESC, endsWith(Model, '*'), Provider = '', Since DESC)) AS prices
SELECT s.ProjectId AS ProjectId, s.TraceId AS TraceId, min(s.Start) AS Start, max(s.End) AS End,
    toUInt64(greatest(0, toUnixTimestamp64Nano(max(s.End)) - toUnixTimestamp64Nano(min(s.Start)))) AS Duration,
    max(s.HasRoot) AS HasRoot, max(s.RootName) AS RootName, max(s.RootStatus) AS RootStatus, max(if(s.HasRoot = 1, s.ServiceName, '')) AS RootService, max(s.RootDuration) AS RootDuration,
    sum(length(s.UnsetIds) + length(s.OkIds) + length(s.ErrorIds)) AS Spans, sum(length(s.ErrorIds)) AS Errors,
    arraySort(groupUniqArray(s.ServiceName)) AS Services, arraySort(groupUniqArrayIf(s.DeploymentId, s.DeploymentId != '')) AS DeploymentIds,
    arraySort(groupUniqArrayIf(s.ServerId, s.ServerId != '')) AS ServerIds, arraySort(groupUniqArrayIf(s.BuildId, s.BuildId != '')) AS BuildIds,
    arraySort(groupUniqArrayArray(arrayMap(u -> u.3, s.Usage))) AS Models, sum(length(s.Usage)) AS Calls,
    sum(arraySum(u -> u.4, s.Usage)) AS InputTokens, sum(arraySum(u -> u.5, s.Usage)) AS OutputTokens,
    sum(arraySum(u -> u.6, s.Usage)) AS CacheReadTokens, sum(arraySum(u -> u.7, s.Usage)) AS ReasoningTokens,
    sum(arraySum((u, p) -> (u.4 - least(u.6, u.4)) * p.5 + least(u.6, u.4) * p.7 + u.5 * p.6, s.Usage,
        arrayMap(u -> arrayFirst(p -> if(p.2, startsWith(u.3, p.1), u.3 = p.1) AND (p.3 = '' OR p.3 = u.2) AND p.4 <= s.Hour, prices), s.Usage))) / 1000000 AS Cost
FROM `tail-race`.trace_states AS s FINAL
GROUP BY s.ProjectId, s.TraceId;

CREATE VIEW IF NOT EXISTS `tail-race`.trace_summaries_between AS
WITH (SELECT groupArray((trimRight(Model, '*'), endsWith(Model, '*'), Provider, Since, Input, Output, CacheRead)) FROM (
    SELECT * FROM `tail-race`.model_prices WHERE Version = (SELECT max(Version) FROM `tail-race`.model_prices)
    ORDER BY length(trimRight(Model, '*')) DESC, endsWith(Model, '*'), Provider = '', Since DESC)) AS prices
SELECT s.ProjectId AS ProjectId, s.TraceId AS TraceId, min(s.Start) AS Start, max(s.End) AS End,
    toUInt64(greatest(0, toUnixTimestamp64Nano(max(s.End)) - toUnixTimestamp64Nano(min(s.Start)))) AS Duration,
    max(s.HasRoot) AS HasRoot, max(s.RootName) AS RootName, max(s.RootStatus) AS RootStatus, max(if(s.HasRoot = 1, s.ServiceName, '')) AS RootService, max(s.RootDuration) AS RootDuration,
    sum(length(s.UnsetIds) + length(s.OkIds) + length(s.ErrorIds)) AS Spans, sum(length(s.ErrorIds)) AS Errors,
    arraySort(groupUniqArray(s.ServiceName)) AS Services, arraySort(groupUniqArrayIf(s.DeploymentId, s.DeploymentId != '')) AS DeploymentIds,
    arraySort(groupUniqArrayIf(s.ServerId, s.ServerId != '')) AS ServerIds, arraySort(groupUniqArrayIf(s.BuildId, s.BuildId != '')) AS BuildIds,
    arraySort(groupUniqArrayArray(arrayMap(u -> u.3, s.Usage))) AS Models, sum(length(s.Usage)) AS Calls,
    sum(arraySum(u -> u.4, s.Usage)) AS InputTokens, sum(arraySum(u -> u.5, s.Usage)) AS OutputTokens,
    sum(arraySum(u -> u.6, s.Usage)) AS CacheReadTokens, sum(arraySum(u -> u.7, s.Usage)) AS ReasoningTokens,
    sum(arraySum((u, p) -> (u.4 - least(u.6, u.4)) * p.5 + least(u.6, u.4) * p.7 + u.5 * p.6, s.Usage,
        arrayMap(u -> arrayFirst(p -> if(p.2, startsWith(u.3, p.1), u.3 = p.1) AND (p.3 = '' OR p.3 = u.2) AND p.4 <= s.Hour, prices), s.Usage))) / 1000000 AS Cost
FROM `tail-race`.trace_states AS s FINAL
WHERE s.TraceId GLOBAL IN (SELECT TraceId FROM `tail-race`.trace_states
        WHERE Hour >= toStartOfHour(toDateTime({since:DateTime64(9, 'UTC')})) AND Hour <= toDateTime({until:DateTime64(9, 'UTC')}))
    AND s.Hour >= toDateTime({since:DateTime64(9, 'UTC')}) - INTERVAL 25 HOUR AND s.Hour <= toDateTime({until:DateTime64(9, 'UTC')}) + INTERVAL 24 HOUR
GROUP BY s.ProjectId, s.TraceId
HAVING min(s.Start) >= {since:DateTime64(9, 'UTC')} AND min(s.Start) < {until:DateTime64(9, 'UTC')};

CREATE VIEW IF NOT EXISTS `tail-race`.span_counts_hourly AS
SELECT ProjectId, Hour, ServiceName, DeploymentId, ServerId, BuildId, status.1 AS StatusCode, sum(status.2) AS Spans,
    sum(toUInt64(HasRoot = 1 AND if(RootStatus IN ('Ok', 'Error'), RootStatus, 'Unset') = status.1)) AS Traces
FROM `tail-race`.trace_states FINAL
ARRAY JOIN [('Unset', length(UnsetIds)), ('Ok', length(OkIds)), ('Error', length(ErrorIds))] AS status
WHERE status.2 > 0
GROUP BY ProjectId, Hour, ServiceName, DeploymentId, ServerId, BuildId, StatusCode;

CREATE VIEW IF NOT EXISTS `tail-race`.log_counts_hourly AS
SELECT ProjectId, toStartOfHour(Bucket) AS Hour, ServiceName, DeploymentId, ServerId, BuildId,
    multiIf(SeverityNumber = 0, 'unset', SeverityNumber < 5, 'trace', SeverityNumber < 9, 'debug', SeverityNumber < 13, 'info',
        SeverityNumber < 17, 'warn', SeverityNumber < 21, 'error', 'fatal') AS Level,
    sum(length(Uids) + WithoutUid) AS Logs
FROM `tail-race`.log_states FINAL
GROUP BY ProjectId, Hour, ServiceName, DeploymentId, ServerId, BuildId, Level;

DROP TABLE IF EXISTS `tail-race`.otel_traces_trace_id_ts_before_0002 SYNC;

DROP TABLE IF EXISTS `tail-race`.otel_traces_trace_id_ts_before_0002_local SYNC;

ALTER TABLE `tail-race`.otel_traces_local MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE `tail-race`.otel_logs_local MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE `tail-race`.otel_metrics_gauge_local MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE `tail-race`.otel_metrics_sum_local MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE `tail-race`.otel_metrics_histogram_local MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE `tail-race`.otel_metrics_exponential_histogram_local MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE `tail-race`.otel_metrics_summary_local MODIFY SETTING min_bytes_for_wide_part = 134217728;
