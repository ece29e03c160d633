package play

import (
	"strings"
	"time"
)

// What the profile calls requests whose bodies name no type.
const (
	beforeMessageSend     = "before_message_send"
	customCommand         = "custom_command"
	passOnPendingMessage  = "PassOnPendingMessage"
	deletedPendingMessage = "DeletedPendingMessage"
)

// streamBody makes a body in the shape of Stream Chat's, for any type of event:
// what the type speaks of is there, and the rest is left out.
func streamBody(e *event) fields {
	switch e.kind {
	case beforeMessageSend:
		return fields{"message": streamMessage(e), "user": streamUser(e, "u-1"), "channel": streamChannel(e), "request_info": streamRequest()}
	case customCommand:
		return fields{"message": streamCommand(e), "user": streamUser(e, "u-1")}
	case passOnPendingMessage, deletedPendingMessage:
		return fields{"message": streamMessage(e), "metadata": fields{"review": "fraud-check"}, "request_info": streamRequest()}
	}
	f := fields{"type": e.kind, "created_at": stampOf(e.now)}
	about, what, _ := strings.Cut(e.kind, ".")
	if about != "user" {
		f["cid"], f["channel_type"], f["channel_id"] = "messaging:fun", "messaging", "fun"
	}
	switch about {
	case "message":
		f["user"] = streamUser(e, "u-1")
		f["message"] = streamMessage(e)
		f["members"] = []any{streamMember(e, "u-1"), streamMember(e, "u-2")}
		f["request_info"] = streamRequest()
	case "reaction":
		f["user"] = streamUser(e, "u-2")
		f["message"] = streamMessage(e)
		f["reaction"] = fields{"message_id": e.id, "user_id": "u-2", "type": "love", "score": 1,
			"created_at": stampOf(e.now), "updated_at": stampOf(e.now)}
	case "channel":
		f["user"] = streamUser(e, "u-1")
		f["channel"] = streamChannel(e)
	case "member":
		f["user"] = streamUser(e, "u-2")
		f["member"] = streamMember(e, "u-2")
		f["channel"] = streamChannel(e)
	case "user":
		f["user"] = streamUser(e, "u-2")
		streamModeration(f, e, what)
	default:
		f["custom"] = fields{"number": e.number, "text": written(e)}
	}
	return f
}

// streamModeration adds what events on moderated users have.
func streamModeration(f fields, e *event, what string) {
	switch what {
	case "banned", "unbanned", "muted", "unmuted", "flagged":
		f["created_by"] = streamUser(e, "moderator-1")
		f["reason"] = "spam"
		f["total_bans"] = 1
		f["expiration"] = stampOf(e.now.Add(time.Hour))
	}
}

func streamMessage(e *event) fields {
	return fields{
		"id": e.id, "cid": "messaging:fun", "type": "regular",
		"text": written(e), "html": "<p>" + written(e) + "</p>\n",
		"user": streamUser(e, "u-1"), "attachments": []any{}, "mentioned_users": []any{},
		"latest_reactions": []any{}, "own_reactions": []any{},
		"reaction_counts": fields{}, "reaction_scores": fields{},
		"reply_count": 0, "deleted_reply_count": 0, "silent": false, "shadowed": false, "pinned": false,
		"created_at": stampOf(e.now), "updated_at": stampOf(e.now),
		"number": e.number, // a custom field
	}
}

// streamCommand is a message by which the user gives a command: /ticket broken.
func streamCommand(e *event) fields {
	m := streamMessage(e)
	m["text"], m["html"] = "/"+e.command+" "+written(e), ""
	m["command"], m["args"] = e.command, written(e)
	return m
}

func streamUser(e *event, id string) fields {
	return fields{"id": id, "name": "User " + id, "role": "user", "language": "", "banned": false, "online": true,
		"created_at": "2020-03-30T07:54:46.295138Z", "updated_at": "2020-03-30T07:54:46.295138Z", "last_active": stampOf(e.now)}
}

func streamMember(e *event, id string) fields {
	return fields{"user_id": id, "user": streamUser(e, id), "channel_role": "channel_member", "banned": false, "shadow_banned": false,
		"notifications_muted": false, "created_at": "2020-03-30T07:54:46.295138Z", "updated_at": "2020-03-30T07:54:46.295138Z"}
}

func streamChannel(e *event) fields {
	return fields{"id": "fun", "type": "messaging", "cid": "messaging:fun", "created_by": streamUser(e, "u-1"),
		"frozen": false, "disabled": false, "member_count": 2,
		"created_at": "2020-03-30T07:54:46.295138Z", "updated_at": stampOf(e.now)}
}

func streamRequest() fields {
	return fields{"type": "client", "ip": "192.0.2.44", "user_agent": "Mozilla/5.0", "sdk": "stream-chat-javascript"}
}
