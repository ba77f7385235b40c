-- Alerts: when they fired, who says so, what they inhibit; silences that are planned ahead, and that lie over each other.

ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS `fired_at` DateTime64(3, 'UTC') COMMENT 'event time at which it had lasted for as long as its rule wants' CODEC(DoubleDelta, ZSTD(1)) AFTER `state`,
    ADD COLUMN IF NOT EXISTS `source` LowCardinality(String) COMMENT 'flow, by event time; health, by the wall clock: what watches flow and machine' CODEC(ZSTD(1)) AFTER `version`,
    ADD COLUMN IF NOT EXISTS `sensors` Int64 COMMENT 'sensors that were in alarm in the episode; 1 for an alert on one' CODEC(ZSTD(1)) AFTER `asset_id`,
    ADD COLUMN IF NOT EXISTS `inhibits` Array(LowCardinality(String)) COMMENT 'rules whose alerts with the same labels are not told while it is open' CODEC(ZSTD(1)) AFTER `peak_score`,
    COMMENT COLUMN `version` 'generation in the upper bits, then how long it has lasted: the newest state wins',
    COMMENT COLUMN `peak_score` 'score of its strongest reading or tick, of a group the largest; NaN: unknown';

ALTER TABLE alert_actions
    ADD COLUMN IF NOT EXISTS `since` Nullable(DateTime64(3, 'UTC')) COMMENT 'begin of a silence that was planned ahead; NULL for at once' CODEC(DoubleDelta, ZSTD(1)) AFTER `matchers`,
    COMMENT COLUMN `action` 'ack | silence | maintenance (a silence planned ahead) | unsilence | comment';

-- A view keeps the columns it was made with.
CREATE OR REPLACE VIEW alerts_final AS
SELECT * EXCEPT (stored_at)
FROM alerts FINAL;

CREATE OR REPLACE VIEW alert_actions_final AS
SELECT * EXCEPT (stored_at)
FROM alert_actions FINAL;

-- Every silence there was, planned ones too. It names one alert, or labels in `matchers`, see alerts_current; an
-- unsilence lifts all that were made before it for the same.
CREATE OR REPLACE VIEW silences AS
SELECT
    silence.action_id AS action_id,
    silence.at AS at,
    silence.action AS action,
    silence.alert_id AS alert_id,
    silence.matchers AS matchers,
    ifNull(silence.since, silence.at) AS since,
    silence.until AS until,
    silence.actor AS actor,
    silence.comment AS comment,
    multiIf(
        silence.at <= lift.lifted_at, 'lifted',
        ifNull(silence.until <= now64(3), false), 'ended',
        ifNull(silence.since > now64(3), false), 'planned',
        'active'
    ) AS state
FROM (SELECT * FROM alert_actions FINAL WHERE action IN ('silence', 'maintenance')) AS silence
LEFT JOIN
(
    SELECT alert_id, matchers, max(at) AS lifted_at
    FROM alert_actions FINAL
    WHERE action = 'unsilence'
    GROUP BY alert_id, matchers
) AS lift ON silence.alert_id = lift.alert_id AND silence.matchers = lift.matchers;

CREATE OR REPLACE VIEW active_silences AS
SELECT alert_id, matchers, until, actor, comment
FROM silences
WHERE state = 'active';

-- Alerts with what people did about them. Labels in `matchers` are a JSON object such as
-- {"location": "boiler room", "severity": "warning"} of which every pair must fit.
-- inhibited_by: an alert that names this one's rule in `inhibits`, has no other labels, and overlaps it in time, and is
-- itself still open if this one is: the alert on a whole location, say. status: whether anybody is to be told, and why not.
CREATE OR REPLACE VIEW alerts_current AS
WITH
    (SELECT groupArray(matchers) FROM active_silences WHERE alert_id = '') AS silenced_labels,
    (
        SELECT groupArray(
            (alert_id, inhibits, started_at, ended_at, [sensor_id, sensor_type, location, asset_id]::Array(String))
        )
        FROM alerts FINAL
        WHERE notEmpty(inhibits)
    ) AS inhibitors,
    map(
        'sensor_id', toString(sensor_id), 'sensor_type', toString(sensor_type), 'location', toString(location),
        'asset_id', toString(asset_id), 'rule', toString(rule), 'severity', toString(severity)
    ) AS labels,
    [toString(sensor_id), toString(sensor_type), toString(location), toString(asset_id)] AS own_labels
SELECT
    alerts.* EXCEPT (stored_at),
    toBool(acks.acknowledged_at IS NOT NULL) AS acknowledged,
    acks.acknowledged_at AS acknowledged_at,
    acks.acknowledged_by AS acknowledged_by,
    acks.acknowledged_comment AS acknowledged_comment,
    toBool(
        alert_id IN (SELECT alert_id FROM active_silences WHERE alert_id != '')
        OR arrayExists(
            matchers -> notEmpty(JSONExtractKeys(matchers))
                AND arrayAll(pair -> labels[pair.1] = pair.2, JSONExtractKeysAndValues(matchers, 'String')),
            silenced_labels
        )
    ) AS silenced,
    arrayFirst(
        other -> has(other.2, rule)
            AND other.1 != alert_id
            AND (ended_at IS NULL OR other.3 <= ended_at)
            AND if(ended_at IS NULL, other.4 IS NULL, other.4 IS NULL OR other.4 >= started_at)
            AND arrayAll((theirs, ours) -> theirs = '' OR theirs = ours, other.5, own_labels),
        inhibitors
    ).1 AS inhibited_by,
    multiIf(
        state = 'resolved', 'resolved',
        silenced, 'silenced',
        inhibited_by != '', 'inhibited',
        acknowledged, 'acknowledged',
        'open'
    ) AS status
FROM alerts FINAL
LEFT JOIN
(
    SELECT
        alert_id,
        toNullable(max(at)) AS acknowledged_at,
        argMax(actor, at) AS acknowledged_by,
        argMax(comment, at) AS acknowledged_comment
    FROM alert_actions FINAL
    WHERE action = 'ack'
    GROUP BY alert_id
) AS acks USING (alert_id);
