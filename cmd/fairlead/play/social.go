package play

import "strings"

// socialBody makes a body in the shape of social.plus's: the type of event, and
// its data.
func socialBody(e *event) fields {
	about, what, _ := strings.Cut(e.kind, ".")
	data := fields{"createdAt": milli(e), "updatedAt": milli(e)}
	switch about {
	case "message":
		data["messages"] = []any{socialMessage(e)}
		data["users"] = []any{socialUser(e)}
	case "channel":
		data["channels"] = []any{fields{"_id": short("channel", e), "channelId": short("channel", e), "type": "community",
			"displayName": written(e), "memberCount": 2, "createdAt": milli(e), "updatedAt": milli(e)}}
	case "post", "comment":
		data[about+"s"] = []any{fields{"_id": short(about, e), about + "Id": short(about, e), "postedUserId": "u-1",
			"dataType": "text", "data": fields{"text": written(e)}, "reactionsCount": 0, "createdAt": milli(e), "updatedAt": milli(e)}}
		data["users"] = []any{socialUser(e)}
	case "user":
		user := socialUser(e)
		user["_id"], user["userId"] = e.id, short("user", e)
		data["users"] = []any{user}
	default:
		data["number"], data["text"] = e.number, written(e)
	}
	if what == "didReact" {
		data["reaction"] = fields{"reactionName": "love", "userId": "u-2"}
	}
	if strings.HasPrefix(what, "should") { // a pre-hook
		return fields{"eventName": e.kind, "data": data, "actor": socialUser(e)}
	}
	return fields{"event": e.kind, "data": data}
}

func socialMessage(e *event) fields {
	return fields{"_id": e.id, "messageId": e.id, "channelId": "fun", "userId": "u-1", "type": "text",
		"data": fields{"text": written(e)}, "channelSegment": e.number + 1, "childrenNumber": 0, "isDeleted": false,
		"tags": []any{}, "reactions": fields{}, "flagCount": 0, "createdAt": milli(e), "updatedAt": milli(e)}
}

func socialUser(e *event) fields {
	return fields{"_id": "u-1", "userId": "u-1", "displayName": "User u-1", "roles": []any{}, "permissions": []any{}, "flagCount": 0,
		"metadata": fields{}, "createdAt": "2020-03-30T07:54:46.295Z", "updatedAt": milli(e)}
}

// milli writes a time as JavaScript does.
func milli(e *event) string { return e.now.Format("2006-01-02T15:04:05.000Z") }
