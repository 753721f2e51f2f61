-- The correlation model: which records speak of one request and of one payment, and what each plane says.
--
-- Portable text: snake_case names, CASE with an explicit ELSE, and no aggregate but MIN, MAX, SUM and COUNT, so that
-- the same statements run on SQLite, DuckDB, PostgreSQL and a warehouse. Load these three tables first, empty or not:
--   l402_records     line, and the 19 contract keys in snake_case; valid records only
--   l402_violations  line, request_id, payment_proof_ref (null where unreadable); one row an invalid record
--   l402_flows       request_id, task_id, task_status, is_create (1 for the id that created the task)
--
-- The plane decides; the executor only says who speaks. Planes are compared within one execution path, as a purchase
-- may be told on both: by the platform (hosted-node) and by the buyer (local-node). A proof reference has 24 digits on
-- the one and 16 on the other, so payments are joined on the 16 digits that both have; the further 8 are its tail.
--
-- A record that is told twice changes nothing. Nor does the order of two records of different machines, unless it
-- exceeds the skew that their clocks may have. A time that cannot be milliseconds takes part in no order.

-- name: request_scope
create table request_scope as
select
  request_id,
  max(case when execution_path = 'hosted-node' then 1 else 0 end) as is_hosted
from l402_records
where plane in ('gateway', 'settlement')
group by request_id;

-- name: deny_meanings
create table deny_meanings as
select
  deny_reason,
  case when trim(deny_reason) = '' then null else deny_reason end as deny,
  case when trim(deny_reason) = '' then null else {meaning} end as meaning
from (
  select deny_reason
  from l402_records
  where deny_reason is not null
  group by deny_reason
) r;

-- name: l402_facts
create table l402_facts as
select
  line,
  told.request_id as request_id,
  plane,
  executor,
  -- Where only the buyer's machine tells of gateway and settlement, the platform's ui shows that very payment.
  case when plane = 'ui' and s.is_hosted = 0 then 'local-node' else execution_path end as path,
  endpoint,
  observed_at_ms,
  case when observed_at_ms between 1000000000000 and 9999999999999 then observed_at_ms else null end as at_ms,
  proof,
  proof_key,
  case
    when substr(proof, 1, 19) = 'lightning_preimage:' and length(proof) > 35 then substr(proof, 36, 60)
    else null
  end as tail,
  deny,
  case
    when deny is null then null
    when plane = 'control' and meaning = 'executor' then 'executor'
    when plane = 'control' and meaning in ('reconcile', 'gateway', 'credential') then 'reconcile'
    when plane = 'control' then 'policy'
    when meaning = 'credential' then 'credential'
    when executor <> 'desktop' and plane = 'settlement' and meaning = 'uncertain' then 'uncertain'
    when executor <> 'desktop' then plane
    when meaning = 'projection' then 'ui'
    when meaning = 'reconcile' then 'gateway'
    when meaning is not null then meaning
    when plane = 'gateway' then 'gateway'
    else 'unknown'
  end as deny_class,
  case when coalesce(cache_hit, false) = false then 0 else 1 end as reused,
  case when execution_path = 'local-node' and node_sync_status = 'degraded' then node_sync_status else null end
    as degraded,
  case when execution_path = 'local-node' and wallet_state = 'locked' then wallet_state else null end
    as wallet_locked,
  case
    when execution_path = 'local-node' and desktop_runtime_status in ('stopped', 'stopping', 'backoff', 'failed')
      then desktop_runtime_status
    else null
  end as runtime_down,
  quoted_cost_msats,
  -- What was paid now; a replay names what was paid earlier.
  case when coalesce(cache_hit, false) = false then paid_amount_msats else null end as paid_msats,
  case when coalesce(cache_hit, false) = false or paid_amount_msats > 0 then paid_amount_msats else null end
    as told_msats,
  case
    when coalesce(cache_hit, false) = false and (plane in ('control', 'gateway') or executor = 'desktop')
      then cap_applied_msats
    else null
  end as cap_msats,
  case when paid_amount_msats > cap_applied_msats and coalesce(cache_hit, false) = false then paid_amount_msats else null
    end as over_cap,
  -- A gateway quotes, names a proof, or denies: where it says none of these of a paywall, it gave it away.
  case
    when plane = 'gateway' and paywall_id is not null and quoted_cost_msats is null and proof is null and deny is null
      then endpoint
    else null
  end as given_away,
  -- Neither a look at the gate nor a probe asks for a payment.
  case
    when paywall_id is null and (
      endpoint in ('/api/lightning/security/gate', '/api/lightning/paywalls/reconcile', '/health', '/healthz')
      or lower(endpoint) like '%/health' or lower(endpoint) like '%/healthz'
    ) then 1
    else 0
  end as is_probe
from (
  select
    r.line,
    r.request_id,
    r.paywall_id,
    r.endpoint,
    r.quoted_cost_msats,
    r.cap_applied_msats,
    r.paid_amount_msats,
    r.payment_proof_ref as proof,
    case
      when substr(r.payment_proof_ref, 1, 19) = 'lightning_preimage:' then substr(r.payment_proof_ref, 20, 16)
      when substr(r.payment_proof_ref, 1, 9) = 'preimage:' then substr(r.payment_proof_ref, 10, 16)
      else r.payment_proof_ref
    end as proof_key,
    r.cache_hit,
    m.deny,
    m.meaning,
    r.executor,
    r.plane,
    r.execution_path,
    r.desktop_runtime_status,
    r.wallet_state,
    r.node_sync_status,
    r.observed_at_ms
  from l402_records r
  left join deny_meanings m on m.deny_reason = r.deny_reason
) told
left join request_scope s on s.request_id = told.request_id;

-- name: planes_in_sight
create table planes_in_sight as
select
  path,
  max(case when plane = 'control' then 1 else 0 end) as control_speaks,
  max(case when plane = 'gateway' and proof is not null then 1 else 0 end) as gateway_pays
from l402_facts
group by path;

-- name: evidence_in_sight
create table evidence_in_sight as
select
  coalesce(max(case when plane = 'control' then 1 else 0 end), 0)
    + coalesce(max(case when plane = 'gateway' then 1 else 0 end), 0)
    + coalesce(max(case when plane = 'settlement' then 1 else 0 end), 0)
    + coalesce(max(case when plane = 'ui' then 1 else 0 end), 0) as n_planes
from l402_facts;

-- name: proof_audit
create table proof_audit as
select
  proof_key,
  path,
  count(*) as n_records,
  min(told_msats) as told_lo,
  max(told_msats) as told_hi,
  sum(case when plane = 'gateway' then 1 else 0 end) as n_gateway,
  sum(case when plane = 'settlement' then 1 else 0 end) as n_settlement,
  sum(case when plane = 'ui' then 1 else 0 end) as n_ui,
  sum(case when plane = 'settlement' and reused = 0 then 1 else 0 end) as n_settled,
  min(case when plane = 'gateway' then tail else null end) as gateway_tail_lo,
  max(case when plane = 'gateway' then tail else null end) as gateway_tail_hi,
  min(case when plane = 'settlement' then tail else null end) as settlement_tail_lo,
  max(case when plane = 'settlement' then tail else null end) as settlement_tail_hi,
  min(case when plane = 'ui' then tail else null end) as ui_tail_lo,
  max(case when plane = 'ui' then tail else null end) as ui_tail_hi
from l402_facts
where proof_key is not null
group by proof_key, path;

-- name: payments
create table payments as
select
  proof_key,
  min(told_lo) as paid_lo,
  max(told_hi) as paid_hi,
  max(case when path = 'hosted-node' or n_gateway > 0 then 1 else 0 end) as is_accepted,
  max(case when n_gateway > 0 then 1 else 0 end) as has_gateway,
  max(case when n_settlement > 0 then 1 else 0 end) as has_settlement,
  max(case when n_ui > 0 then 1 else 0 end) as has_ui
from proof_audit
group by proof_key;

-- name: proof_doubts
create table proof_doubts as
select
  proof_key,
  count(*) as n_invalid
from (
  select
    case
      when substr(payment_proof_ref, 1, 19) = 'lightning_preimage:' then substr(payment_proof_ref, 20, 16)
      when substr(payment_proof_ref, 1, 9) = 'preimage:' then substr(payment_proof_ref, 10, 16)
      else payment_proof_ref
    end as proof_key
  from l402_violations
  where payment_proof_ref is not null
) doubted
group by proof_key;

-- One settlement that is told twice is one: only what differs in anything is another.
-- name: settlements_again
create table settlements_again as
select
  proof_key,
  path,
  min(settled_as) as settled_lo,
  max(settled_as) as settled_hi
from (
  select
    f.proof_key as proof_key,
    f.path as path,
    cast(r.observed_at_ms as varchar(20)) || ' ' || coalesce(r.request_id, '') || ' ' || r.executor || ' '
      || coalesce(r.task_id, '') || ' ' || coalesce(r.user_id, '') || ' ' || coalesce(r.paywall_id, '') || ' '
      || coalesce(r.endpoint, '') || ' ' || f.proof || ' '
      || coalesce(cast(r.paid_amount_msats as varchar(20)), '') || ' '
      || coalesce(cast(r.quoted_cost_msats as varchar(20)), '') || ' ' || coalesce(r.desktop_session_id, '')
      as settled_as
  from l402_facts f
  join proof_audit p on p.proof_key = f.proof_key and p.path = f.path
  join l402_records r on r.line = f.line
  where p.n_settled > 1 and f.plane = 'settlement' and f.reused = 0
) settlements
group by proof_key, path;

-- What is wrong with a payment on a path. What the platform holds is true for the buyer as well; what the buyer holds
-- is not true for the platform.
-- name: proof_state
create table proof_state as
select
  proof_key,
  path,
  has_gateway,
  has_settlement,
  has_ui,
  is_unsettled,
  is_unshown,
  is_settled_twice,
  settlement_altered,
  ui_altered,
  amounts_differ,
  is_accepted,
  doubtful,
  case
    when is_unsettled = 1 or is_unshown = 1 or is_settled_twice = 1 or settlement_altered = 1 or ui_altered = 1
      or amounts_differ = 1 or is_accepted = 0 then 1
    else 0
  end as is_odd
from (
  select
    p.proof_key as proof_key,
    p.path as path,
    a.has_gateway as has_gateway,
    a.has_settlement as has_settlement,
    a.has_ui as has_ui,
    case when p.n_settlement = 0 and (p.path = 'hosted-node' or a.has_settlement = 0) then 1 else 0 end as is_unsettled,
    case when p.n_ui = 0 and (p.path = 'hosted-node' or a.has_ui = 0) then 1 else 0 end as is_unshown,
    case when g.settled_lo <> g.settled_hi then 1 else 0 end as is_settled_twice,
    case when p.settlement_tail_lo <> p.settlement_tail_hi or p.gateway_tail_lo <> p.settlement_tail_lo
      or p.gateway_tail_hi <> p.settlement_tail_hi then 1 else 0 end as settlement_altered,
    case when p.ui_tail_lo <> p.settlement_tail_lo or p.ui_tail_hi <> p.settlement_tail_hi then 1 else 0 end
      as ui_altered,
    case when a.paid_lo <> a.paid_hi then 1 else 0 end as amounts_differ,
    a.is_accepted as is_accepted,
    case when d.n_invalid > 0 then 1 else 0 end as doubtful
  from proof_audit p
  join payments a on a.proof_key = p.proof_key
  left join settlements_again g on g.proof_key = p.proof_key and g.path = p.path
  left join proof_doubts d on d.proof_key = p.proof_key
) states;

-- Most requests name one payment, of which all is well.
-- name: request_payments
create table request_payments as
select
  f.request_id as request_id,
  min(f.proof_key) as proof_lo,
  max(f.proof_key) as proof_hi,
  max(p.is_odd) as is_odd,
  max(p.has_gateway) as has_gateway,
  max(p.has_settlement) as has_settlement,
  max(p.has_ui) as has_ui,
  max(p.doubtful) as doubtful
from l402_facts f
join proof_state p on p.proof_key = f.proof_key and p.path = f.path
where f.request_id is not null
group by f.request_id;

-- name: request_audit
create table request_audit as
select
  request_id,
  count(*) as n_records,
  min(path) as path,
  min(at_ms) as first_at_ms,
  max(at_ms) as last_at_ms,
  sum(case when at_ms is null then 1 else 0 end) as n_untimed,
  max(case when plane = 'control' then 1 else 0 end) as has_control,
  max(case when plane = 'gateway' then 1 else 0 end) as has_gateway,
  max(case when plane = 'settlement' then 1 else 0 end) as has_settlement,
  max(case when plane = 'ui' then 1 else 0 end) as has_ui,
  -- When all was well by whom: what an earlier denial is overcome by.
  max(case when plane = 'control' and deny is null then at_ms else null end) as allowed_at,
  max(case when executor = 'desktop' and deny is null and proof is not null then at_ms else null end) as buyer_paid_at,
  max(case when executor = 'desktop' and plane in ('gateway', 'ui') and deny is null and proof is not null then at_ms
    else null end) as buyer_served_at,
  max(case when executor <> 'desktop' and plane = 'gateway' and deny is null and proof is not null then at_ms else null
    end) as gateway_ok_at,
  max(case when executor <> 'desktop' and plane = 'settlement' and deny is null and proof is not null then at_ms
    else null end) as settlement_ok_at,
  max(case when executor <> 'desktop' and plane = 'ui' and deny is null and proof is not null then at_ms else null end)
    as ui_ok_at,
  min(is_probe) as is_probe,
  max(over_cap) as over_cap,
  max(paid_msats) as paid_most,
  min(cap_msats) as cap_msats,
  min(given_away) as given_away,
  max(wallet_locked) as wallet_locked,
  max(degraded) as degraded,
  min(runtime_down) as runtime_down,
  sum(case when plane = 'gateway' and executor <> 'desktop' then 1 else 0 end) as n_gateway,
  sum(case when proof is not null then 1 else 0 end) as n_proof,
  min(proof) as proof_shown,
  min(case when plane = 'gateway' then quoted_cost_msats else null end) as quoted_msats,
  max(case when plane = 'gateway' and proof is not null then 1 else 0 end) as gateway_paid,
  max(case when plane = 'settlement' and proof is not null then 1 else 0 end) as settlement_paid
from l402_facts
where request_id is not null
group by request_id;

-- A denial stands unless who made it said later that all is well, or another machine did, later than clocks may differ.
-- name: standing_denials
create table standing_denials as
select
  f.line as line,
  f.request_id as request_id,
  f.plane as plane,
  f.executor as executor,
  f.path as path,
  f.deny as deny,
  f.deny_class as deny_class
from l402_facts f
join request_audit s on s.request_id = f.request_id
where f.deny is not null
  and case
    when f.deny_class = 'uncertain' or f.at_ms is null then 1
    when f.plane = 'control' then case when s.allowed_at > f.at_ms then 0 else 1 end
    when f.executor = 'desktop' then
      case
        when s.buyer_served_at > f.at_ms or s.gateway_ok_at > f.at_ms + {skew_ms} then 0
        when s.buyer_paid_at > f.at_ms and f.deny_class in ('policy', 'local', 'unknown') then 0
        else 1
      end
    when f.plane = 'gateway' then
      case when s.gateway_ok_at > f.at_ms or s.buyer_served_at > f.at_ms + {skew_ms} then 0 else 1 end
    when f.plane = 'settlement' then case when s.settlement_ok_at > f.at_ms then 0 else 1 end
    else case when s.ui_ok_at > f.at_ms then 0 else 1 end
  end = 1;

-- name: request_denials
create table request_denials as
select
  request_id,
  min(case when deny_class = 'executor' then deny else null end) as executor_deny,
  min(case when deny_class = 'reconcile' then deny else null end) as reconcile_deny,
  -- That access was denied says less than the switch or limit which denied it.
  coalesce(
    min(case when plane = 'control' and deny_class = 'policy' and deny <> 'access_denied' then deny else null end),
    min(case when plane = 'control' and deny_class = 'policy' then deny else null end)
  ) as policy_deny,
  min(case when plane <> 'control' and deny_class = 'policy' then deny else null end) as spending_deny,
  min(case when deny_class = 'credential' then deny else null end) as credential_deny,
  min(case when executor <> 'desktop' and deny_class = 'gateway' then deny else null end) as gateway_deny,
  min(case when executor = 'desktop' and deny_class = 'gateway' then deny else null end) as buyer_gateway_deny,
  min(case when deny_class = 'settlement' then deny else null end) as settlement_deny,
  min(case when deny_class = 'uncertain' and path = 'hosted-node' then deny else null end) as hosted_uncertain_deny,
  min(case when deny_class = 'uncertain' and path = 'local-node' then deny else null end) as local_uncertain_deny,
  min(case when deny_class = 'ui' then deny else null end) as ui_deny,
  min(case when deny_class = 'local' then deny else null end) as local_deny,
  min(case when deny_class = 'unknown' then deny else null end) as unknown_deny
from standing_denials
group by request_id;

-- name: request_paths
create table request_paths as
select
  f.request_id as request_id,
  min(case when f.plane = 'gateway' then f.proof_key else null end) as gateway_lo,
  max(case when f.plane = 'gateway' then f.proof_key else null end) as gateway_hi,
  min(case when f.plane = 'settlement' then f.proof_key else null end) as settlement_lo,
  max(case when f.plane = 'settlement' then f.proof_key else null end) as settlement_hi,
  min(case when f.plane = 'ui' then f.proof_key else null end) as ui_lo,
  max(case when f.plane = 'ui' then f.proof_key else null end) as ui_hi,
  min(case when f.plane = 'gateway' and f.reused = 0 then f.proof else null end) as gateway_paid_lo,
  max(case when f.plane = 'gateway' and f.reused = 0 then f.proof else null end) as gateway_paid_hi,
  min(case when f.plane = 'gateway' and f.reused = 0 then f.proof_key else null end) as gateway_paid_key_lo,
  max(case when f.plane = 'gateway' and f.reused = 0 then f.proof_key else null end) as gateway_paid_key_hi,
  min(case when f.plane = 'settlement' and f.reused = 0 then f.proof else null end) as settlement_paid_lo,
  max(case when f.plane = 'settlement' and f.reused = 0 then f.proof else null end) as settlement_paid_hi,
  min(case when f.plane = 'settlement' and f.reused = 0 then f.proof_key else null end) as settlement_paid_key_lo,
  max(case when f.plane = 'settlement' and f.reused = 0 then f.proof_key else null end) as settlement_paid_key_hi,
  min(case when f.plane = 'gateway' then f.proof else null end) as gateway_proof,
  min(case when f.plane = 'settlement' then f.proof else null end) as settlement_proof,
  min(case when f.plane = 'ui' then f.proof else null end) as ui_proof,
  min(case when f.plane = 'gateway' and p.is_unsettled = 1 then f.proof else null end) as gateway_unsettled,
  min(case when f.plane = 'settlement' and p.is_unshown = 1 then f.proof else null end) as unshown,
  min(case when f.plane = 'ui' and p.is_unsettled = 1 then f.proof else null end) as ui_unsettled,
  min(case when p.is_settled_twice = 1 then f.proof else null end) as settled_twice,
  max(p.settlement_altered) as settlement_altered,
  max(p.ui_altered) as ui_altered,
  min(case when p.amounts_differ = 1 then f.proof else null end) as amounts_differ,
  min(case when f.executor = 'desktop' and f.plane in ('settlement', 'ui') and p.is_accepted = 0 then f.proof else null
    end) as buyer_unsettled
from l402_facts f
join request_payments q on q.request_id = f.request_id
join proof_state p on p.proof_key = f.proof_key and p.path = f.path
where q.is_odd = 1 or q.proof_lo <> q.proof_hi
group by f.request_id, f.path;

-- name: request_proofs
create table request_proofs as
select
  request_id,
  min(case
    when gateway_paid_key_lo <> gateway_paid_key_hi then gateway_paid_lo
    when settlement_paid_key_lo <> settlement_paid_key_hi then settlement_paid_lo
    else null
  end) as paid_first,
  max(case
    when gateway_paid_key_lo <> gateway_paid_key_hi then gateway_paid_hi
    when settlement_paid_key_lo <> settlement_paid_key_hi then settlement_paid_hi
    else null
  end) as paid_second,
  min(case
    when settlement_lo is not null and gateway_lo is not null
      and (gateway_lo <> settlement_lo or gateway_hi <> settlement_hi or gateway_unsettled is not null) then gateway_proof
    when settlement_lo is not null and settlement_altered = 1 then coalesce(gateway_proof, settlement_proof)
    else null
  end) as accepted_otherwise,
  min(case
    when settlement_lo is not null and gateway_lo is not null
      and (gateway_lo <> settlement_lo or gateway_hi <> settlement_hi or gateway_unsettled is not null)
      then settlement_proof
    when settlement_lo is not null and settlement_altered = 1 then settlement_proof
    else null
  end) as settled_otherwise,
  min(case when settlement_lo is null then coalesce(gateway_unsettled, ui_unsettled) else null end) as unsettled,
  min(case
    when settlement_lo is not null and ui_lo is not null
      and (settlement_lo <> ui_lo or settlement_hi <> ui_hi or unshown is not null or ui_altered = 1) then ui_proof
    else null
  end) as shown_otherwise,
  min(case when settlement_lo is not null then settlement_proof else null end) as settlement_proof,
  min(case when ui_lo is null then unshown else null end) as unshown,
  min(settled_twice) as settled_twice,
  min(amounts_differ) as amounts_differ,
  min(buyer_unsettled) as buyer_unsettled
from request_paths
group by request_id;

-- What was spent where a request was paid more than once: what the plane that knows most of it tells of each payment.
-- name: request_spending
create table request_spending as
select
  request_id,
  max(spent_msats) as spent_msats
from (
  select
    request_id,
    plane,
    sum(paid_msats) as spent_msats
  from (
    select
      f.request_id as request_id,
      f.plane as plane,
      f.proof_key as proof_key,
      max(f.paid_msats) as paid_msats
    from l402_facts f
    join request_proofs p on p.request_id = f.request_id
    where p.paid_first is not null
    group by f.request_id, f.plane, f.proof_key
  ) paid_proofs
  group by request_id, plane
) paid_planes
group by request_id;

-- name: request_doubts
create table request_doubts as
select request_id, count(*) as n_invalid, min(line) as first_line
from l402_violations
where request_id is not null
group by request_id;

-- name: request_flows
create table request_flows as
select
  request_id,
  max(is_create) as is_create,
  min(case when task_status not in ('completed', 'blocked', 'failed') then task_status else null end)
    as unfinished_status,
  min(case when task_status = 'failed' then task_status else null end) as failed_status
from l402_flows
where request_id is not null
group by request_id;

-- name: request_ids
create table request_ids as
select request_id from request_audit
union
select request_id from request_doubts
union
select request_id from request_flows where is_create = 1 and unfinished_status is not null;

-- name: request_story
create table request_story as
select
  i.request_id as request_id,
  coalesce(d.n_invalid, 0) as n_invalid,
  d.first_line as first_invalid_line,
  coalesce(q.doubtful, 0) as doubtful,
  coalesce(a.n_records, 0) as n_records,
  a.first_at_ms as first_at_ms,
  a.last_at_ms as last_at_ms,
  coalesce(a.n_untimed, 0) as n_untimed,
  n.executor_deny as executor_deny,
  n.reconcile_deny as reconcile_deny,
  n.policy_deny as policy_deny,
  n.spending_deny as spending_deny,
  n.credential_deny as credential_deny,
  n.gateway_deny as gateway_deny,
  n.buyer_gateway_deny as buyer_gateway_deny,
  coalesce(n.gateway_deny, n.buyer_gateway_deny) as any_gateway_deny,
  n.settlement_deny as settlement_deny,
  n.hosted_uncertain_deny as hosted_uncertain_deny,
  n.local_uncertain_deny as local_uncertain_deny,
  n.ui_deny as ui_deny,
  n.local_deny as local_deny,
  n.unknown_deny as unknown_deny,
  case
    when a.over_cap is not null then a.over_cap
    when a.paid_most > a.cap_msats then a.paid_most
    else null
  end as over_cap,
  a.given_away as given_away,
  a.wallet_locked as wallet_locked,
  a.degraded as degraded,
  a.runtime_down as runtime_down,
  coalesce(a.n_gateway, 0) as n_gateway,
  coalesce(a.n_proof, 0) as n_proof,
  a.quoted_msats as quoted_msats,
  coalesce(m.spent_msats, a.paid_most) as paid_msats,
  a.proof_shown as proof_shown,
  p.paid_first as paid_first,
  p.paid_second as paid_second,
  p.accepted_otherwise as accepted_otherwise,
  p.settled_otherwise as settled_otherwise,
  p.unsettled as unsettled,
  p.shown_otherwise as shown_otherwise,
  p.settlement_proof as settlement_proof,
  p.unshown as unshown,
  p.settled_twice as settled_twice,
  p.amounts_differ as amounts_differ,
  p.buyer_unsettled as buyer_unsettled,
  f.unfinished_status as unfinished_status,
  f.failed_status as failed_status,
  case
    when coalesce(a.is_probe, 1) = 1 then null
    when a.has_control + coalesce(q.has_gateway, 0) + coalesce(q.has_settlement, 0) + coalesce(q.has_ui, 0) > 1
      or a.has_control + a.has_gateway + a.has_settlement + a.has_ui > 1 then null
    when e.n_planes = 1 and a.has_control = 1 then 'control'
    when e.n_planes = 1 and a.has_gateway = 1 then 'gateway'
    when e.n_planes = 1 and a.has_settlement = 1 then 'settlement'
    when a.has_control = 1 then 'control'
    when a.has_ui = 1 then 'ui'
    when a.has_gateway = 1 and a.gateway_paid = 0 and a.quoted_msats is null then 'gateway'
    when a.has_gateway = 1 and a.gateway_paid = 1 and s.control_speaks = 1 then 'gateway'
    when a.has_settlement = 1 and (a.settlement_paid = 0 or s.gateway_pays = 1) then 'settlement'
    else null
  end as lone_plane
from request_ids i
cross join evidence_in_sight e
left join request_audit a on a.request_id = i.request_id
left join planes_in_sight s on s.path = a.path
left join request_denials n on n.request_id = i.request_id
left join request_proofs p on p.request_id = i.request_id
left join request_payments q on q.request_id = i.request_id
left join request_spending m on m.request_id = i.request_id
left join request_doubts d on d.request_id = i.request_id
left join request_flows f on f.request_id = i.request_id;
