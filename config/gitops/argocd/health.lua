-- What Argo CD makes of a WebhookEndpoint or a WebhookProvider, by its conditions.
-- argocd-cm.yaml beside this file has the same text in it: a test compares them.

local function health(status, message)
  return {status = status, message = message}
end

-- The conditions by their types; what is no condition is passed over.
local function conditions(of)
  local found = {}
  if type(of) == "table" then
    for _, c in ipairs(of) do
      if type(c) == "table" and c.type ~= nil then
        found[c.type] = c
      end
    end
  end
  return found
end

local status, spec, meta = obj.status or {}, obj.spec or {}, obj.metadata or {}

if meta.deletionTimestamp ~= nil then
  return health("Progressing", "It is being deleted")
end
if status.observedGeneration == nil or status.observedGeneration < (meta.generation or 0) then
  return health("Progressing", "No operator has seen this generation yet")
end

local is = conditions(status.conditions)
if is.Stalled ~= nil and is.Stalled.status == "True" then
  return health("Degraded", is.Stalled.message)
end
if is.Reconciling ~= nil and is.Reconciling.status == "True" then
  return health("Progressing", is.Reconciling.message)
end
if is.Ready == nil or (is.Ready.status ~= "True" and is.Ready.status ~= "False") then
  return health("Progressing", "It is not known yet whether it is ready")
end
if is.Ready.status == "False" then
  return health("Degraded", is.Ready.message)
end
if spec.suspend ~= nil and spec.suspend ~= "None" then
  return health("Suspended", is.Ready.message)
end
return health("Healthy", is.Ready.message)
