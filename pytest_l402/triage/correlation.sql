-- The correlation model: which records speak of one request and of one payment, and what each plane says.
--
-- Portable text: snake_case names, CASE with an explicit ELSE, and no aggregate but MIN, MAX, SUM and COUNT, so that
-- the same statements run on SQLite, DuckDB, PostgreSQL and a warehouse. Load these three tables first, empty or not:
--   l402_records     line, and the 19 contract keys in snake_case; valid records only
--   l402_violations  line, request_id, payment_proof_ref (null where unreadable); one row an invalid record
--   l402_flows       request_id, task_id, task_status, is_create (1 for the id that created the task)
--
-- A voice is who speaks: the same plane is told by the platform and, on the local path, by the buyer. A proof reference
-- has 24 digits on the hosted path and 16 on the local one, so payments are joined on the 16 digits that both have.

-- name: l402_facts
create table l402_facts as
select
  line,
  request_id,
  observed_at_ms,
  execution_path,
  payment_proof_ref as proof,
  case
    when substr(payment_proof_ref, 1, 19) = 'lightning_preimage:' then substr(payment_proof_ref, 20, 16)
    when substr(payment_proof_ref, 1, 9) = 'preimage:' then substr(payment_proof_ref, 10, 16)
    else payment_proof_ref
  end as proof_key,
  case
    when plane = 'control' then 'gate'
    when plane = 'gateway' and executor = 'desktop' then 'buyer_gateway'
    when plane = 'gateway' then 'gateway'
    when plane = 'settlement' and executor = 'desktop' then 'buyer'
    when plane = 'settlement' then 'store'
    when executor = 'desktop' then 'buyer_ui'
    else 'ui'
  end as voice,
  case when trim(deny_reason) = '' then null else deny_reason end as deny,
  case
    when deny_reason is null or trim(deny_reason) = '' then null
    when plane = 'control' and deny_reason in ('desktop_executor_offline', 'desktop_executor_timeout')
      then 'executor'
    when plane = 'control' and deny_reason in (
      'compile_validation_failed', 'active_lookup_failed', 'deploy_apply_failed', 'health_check_failed',
      'challenge_check_failed', 'proxy_check_failed', 'rollback_failed'
    ) then 'reconcile'
    when plane = 'control' and substr(deny_reason, 1, 8) = 'gateway_' then 'reconcile'
    when plane = 'control' then 'policy'
    when substr(deny_reason, 1, 8) = 'gateway_' or deny_reason = 'credential_refused' then 'gateway'
    when executor = 'desktop' and deny_reason in (
      'amount_over_cap', 'host_blocked', 'host_not_allowlisted', 'BudgetExceededError', 'DomainNotAllowedError',
      'Quoted invoice amount exceeds configured spend cap', 'host_not_allowed', 'request_cap_exceeded',
      'quoted_amount_exceeds_cap', 'window_cap_exceeded', 'global_pause_active', 'owner_kill_switch_active',
      'The gateway denies access'
    ) then 'policy'
    when executor = 'desktop' and deny_reason like 'Host % is blocked' then 'policy'
    when executor = 'desktop' and deny_reason like 'Host % is not on the allowlist' then 'policy'
    when executor = 'desktop'
      and deny_reason in ('payment_pending', 'payment_missing_preimage', 'payment_already_made') then 'uncertain'
    when executor = 'desktop' then 'local'
    else plane
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
  paid_amount_msats,
  case when paid_amount_msats > cap_applied_msats then paid_amount_msats else null end as paid_over_cap,
  -- A gateway quotes, names a proof, or denies: where it says none of these of a paywall, it gave it away.
  case
    when plane = 'gateway' and executor <> 'desktop' and paywall_id is not null and quoted_cost_msats is null
      and payment_proof_ref is null and (deny_reason is null or trim(deny_reason) = '') then endpoint
    else null
  end as given_away
from l402_records;

-- name: proof_audit
create table proof_audit as
select
  proof_key,
  count(*) as n_records,
  min(request_id) as request_lo,
  max(request_id) as request_hi,
  sum(case when voice = 'gateway' then 1 else 0 end) as n_gateway,
  sum(case when voice = 'store' then 1 else 0 end) as n_store,
  sum(case when voice = 'store' and reused = 0 then 1 else 0 end) as n_settled,
  sum(case when voice = 'ui' then 1 else 0 end) as n_ui,
  min(case when voice in ('gateway', 'store', 'ui') then paid_amount_msats else null end) as paid_lo,
  max(case when voice in ('gateway', 'store', 'ui') then paid_amount_msats else null end) as paid_hi
from l402_facts
where proof_key is not null
group by proof_key;

-- name: proof_doubts
create table proof_doubts as
select
  case
    when substr(payment_proof_ref, 1, 19) = 'lightning_preimage:' then substr(payment_proof_ref, 20, 16)
    when substr(payment_proof_ref, 1, 9) = 'preimage:' then substr(payment_proof_ref, 10, 16)
    else payment_proof_ref
  end as proof_key,
  count(*) as n_invalid
from l402_violations
where payment_proof_ref is not null
group by
  case
    when substr(payment_proof_ref, 1, 19) = 'lightning_preimage:' then substr(payment_proof_ref, 20, 16)
    when substr(payment_proof_ref, 1, 9) = 'preimage:' then substr(payment_proof_ref, 10, 16)
    else payment_proof_ref
  end;

-- name: request_audit
create table request_audit as
select
  request_id,
  count(*) as n_records,
  min(case when voice = 'gate' and deny_class = 'executor' then deny else null end) as executor_deny,
  min(case when voice = 'gate' and deny_class = 'reconcile' then deny else null end) as reconcile_deny,
  -- That access was denied says less than the switch or limit which denied it.
  coalesce(
    min(case when voice = 'gate' and deny_class = 'policy' and deny <> 'access_denied' then deny else null end),
    min(case when voice = 'gate' and deny_class = 'policy' then deny else null end)
  ) as policy_deny,
  max(case when voice = 'gate' and deny_class = 'policy' then observed_at_ms else null end) as policy_denied_at,
  max(case when voice = 'gate' and deny is null then observed_at_ms else -1 end) as gate_allowed_at,
  min(case when voice in ('buyer', 'buyer_ui', 'buyer_gateway') and deny_class = 'policy' then deny else null end)
    as buyer_policy_deny,
  min(case when voice = 'gateway' then deny else null end) as gateway_deny,
  max(case when voice = 'gateway' and deny is not null then observed_at_ms else null end) as gateway_denied_at,
  min(case when voice in ('buyer_gateway', 'buyer', 'buyer_ui') and (voice = 'buyer_gateway' or deny_class = 'gateway')
    then deny else null end) as buyer_gateway_deny,
  max(case when voice in ('buyer_gateway', 'buyer', 'buyer_ui') and (voice = 'buyer_gateway' or deny_class = 'gateway')
    and deny is not null then observed_at_ms else null end) as buyer_gateway_denied_at,
  max(case when voice = 'gateway' and deny is null and proof is not null then observed_at_ms else -1 end)
    as gateway_served_at,
  min(case when voice = 'store' then deny else null end) as store_deny,
  min(case when voice = 'ui' then deny else null end) as ui_deny,
  min(case when voice in ('buyer', 'buyer_ui') and deny_class = 'local' then deny else null end) as local_deny,
  min(case when voice in ('buyer', 'buyer_ui') and deny_class = 'uncertain' then deny else null end)
    as uncertain_deny,
  max(paid_over_cap) as paid_over_cap,
  min(given_away) as given_away,
  max(wallet_locked) as wallet_locked,
  max(degraded) as degraded,
  min(runtime_down) as runtime_down,
  sum(case when voice = 'gateway' then 1 else 0 end) as n_gateway,
  sum(case when voice = 'ui' then 1 else 0 end) as n_ui,
  sum(case when proof is not null then 1 else 0 end) as n_proof,
  min(case when voice = 'gateway' then quoted_cost_msats else null end) as quoted_msats,
  min(case when voice = 'gateway' then proof else null end) as gateway_proof_lo,
  max(case when voice = 'gateway' then proof else null end) as gateway_proof_hi,
  min(case when voice = 'store' then proof else null end) as store_proof_lo,
  max(case when voice = 'store' then proof else null end) as store_proof_hi,
  min(case when voice = 'ui' then proof else null end) as ui_proof_lo,
  max(case when voice = 'ui' then proof else null end) as ui_proof_hi,
  min(case when voice in ('buyer', 'buyer_ui') then proof else null end) as buyer_proof_lo
from l402_facts
where request_id is not null
group by request_id;

-- name: request_proofs
create table request_proofs as
select
  f.request_id as request_id,
  min(case when f.voice = 'gateway' and p.n_store = 0 then f.proof else null end) as gateway_unsettled,
  min(case when f.voice in ('buyer', 'buyer_ui') and p.n_store = 0 then f.proof else null end) as buyer_unsettled,
  min(case when f.voice = 'store' and p.n_ui = 0 then f.proof else null end) as unshown,
  min(case when p.n_settled > 1 then f.proof else null end) as settled_twice,
  min(case when p.paid_lo <> p.paid_hi then f.proof else null end) as amounts_differ,
  max(case when d.n_invalid > 0 then 1 else 0 end) as doubtful
from l402_facts f
join proof_audit p on p.proof_key = f.proof_key
left join proof_doubts d on d.proof_key = f.proof_key
where f.request_id is not null
group by f.request_id;

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
  coalesce(p.doubtful, 0) as doubtful,
  coalesce(a.n_records, 0) as n_records,
  a.executor_deny as executor_deny,
  a.reconcile_deny as reconcile_deny,
  case when a.policy_denied_at >= a.gate_allowed_at then a.policy_deny else null end as policy_deny,
  a.buyer_policy_deny as buyer_policy_deny,
  case when a.gateway_denied_at >= a.gateway_served_at then a.gateway_deny else null end as gateway_deny,
  case when a.buyer_gateway_denied_at >= a.gateway_served_at then a.buyer_gateway_deny else null end
    as buyer_gateway_deny,
  case
    when a.buyer_gateway_denied_at >= a.gateway_served_at and a.buyer_gateway_deny = 'credential_refused'
      then a.buyer_gateway_deny
    when a.gateway_denied_at >= a.gateway_served_at and a.gateway_deny = 'gateway_credential_refused'
      then a.gateway_deny
    else null
  end as credential_refused,
  a.store_deny as store_deny,
  a.paid_over_cap as paid_over_cap,
  a.given_away as given_away,
  a.ui_deny as ui_deny,
  a.local_deny as local_deny,
  a.uncertain_deny as uncertain_deny,
  a.wallet_locked as wallet_locked,
  a.degraded as degraded,
  a.runtime_down as runtime_down,
  coalesce(a.n_gateway, 0) as n_gateway,
  coalesce(a.n_ui, 0) as n_ui,
  coalesce(a.n_proof, 0) as n_proof,
  a.quoted_msats as quoted_msats,
  a.gateway_proof_lo as gateway_proof_lo,
  a.gateway_proof_hi as gateway_proof_hi,
  a.store_proof_lo as store_proof_lo,
  a.store_proof_hi as store_proof_hi,
  a.ui_proof_lo as ui_proof_lo,
  a.ui_proof_hi as ui_proof_hi,
  a.buyer_proof_lo as buyer_proof_lo,
  coalesce(a.store_proof_lo, a.ui_proof_lo, a.gateway_proof_lo, a.buyer_proof_lo) as proof_shown,
  p.gateway_unsettled as gateway_unsettled,
  p.buyer_unsettled as buyer_unsettled,
  p.unshown as unshown,
  p.settled_twice as settled_twice,
  p.amounts_differ as amounts_differ,
  f.unfinished_status as unfinished_status,
  f.failed_status as failed_status
from request_ids i
left join request_audit a on a.request_id = i.request_id
left join request_proofs p on p.request_id = i.request_id
left join request_doubts d on d.request_id = i.request_id
left join request_flows f on f.request_id = i.request_id;
