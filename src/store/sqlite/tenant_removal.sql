-- Removal of everything that the tenant ?1 has, in steps: each statement removes up to 200 rows of a table,
-- found by its primary key, unless another index is named.

-- name: remove_subscriptions_of
delete from subscriptions where tenant_id = ?1 and subscription in (
    select subscription from subscriptions where tenant_id = ?1 order by subscription limit 200);

-- name: remove_takes_of
-- By rowid; so for the next one.
delete from takes where rowid in (
    select rowid from takes where tenant_id = ?1 order by subscription, number limit 200);

-- name: remove_settlements_of
delete from settlements where rowid in (
    select rowid from settlements where tenant_id = ?1 order by subscription, number limit 200);

-- name: remove_dead_letters_of
delete from dead_letters where tenant_id = ?1 and (subscription, settlement, sequence) in (
    select subscription, settlement, sequence from dead_letters where tenant_id = ?1
    order by subscription, settlement, sequence limit 200);

-- name: remove_events_of
-- The oldest, fewer because payloads may be large.
delete from events where position in (
    select position from events where position between ?1 << 40 and (?1 << 40) + 1099511627775
    order by position limit 50);

-- name: remove_acknowledged_of
delete from acknowledged where position in (
    select position from acknowledged where position between ?1 << 40 and (?1 << 40) + 1099511627775
    order by position limit 200);

-- name: remove_blocks_of
delete from blocks where tenant_id = ?1 and block in (
    select block from blocks where tenant_id = ?1 order by block limit 200);

-- name: remove_pending_of
delete from pending where tenant_id = ?1 and (kind, block) in (
    select kind, block from pending where tenant_id = ?1 order by kind, block limit 200);

-- name: remove_kind_blocks_of
delete from kind_blocks where tenant_id = ?1 and (kind, block) in (
    select kind, block from kind_blocks where tenant_id = ?1 order by kind, block limit 200);

-- name: remove_kinds_of
delete from kinds where tenant_id = ?1 and kind in (
    select kind from kinds where tenant_id = ?1 order by kind limit 200);

-- name: remove_audit_of
-- By rowid.
delete from audit_records where rowid in (
    select rowid from audit_records where tenant_id = ?1 order by number limit 200);

-- name: a_key_of
-- The version of one of its keys. Index: access_rows_keys.
select version from access_rows where tenant_id = ?1 and kind = 1 and gone_at is null order by id limit 1;

-- name: remove_subscription_number_of
delete from subscription_numbers where tenant_id = ?1;

-- name: remove_audit_number_of
delete from audit_numbers where tenant_id = ?1;
